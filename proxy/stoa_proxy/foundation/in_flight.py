"""Requests in flight, counted by those who must not take all places."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from stoa_proxy.foundation.throttled_log import ThrottledLog

# A small gateway is not divided until nothing is left of it.
_LEAST_PART = 16
K = TypeVar("K", bound=Hashable)


class InFlight(Generic[K]):
    """Counts what is in flight by key; of one key at most `bound` at a time.

    With a `capacity` a key gets less while three quarters of it are in flight: an equal part for
    each key that has any and for one more, so that whoever comes next finds a place.
    `refused` is how many were beyond it. The log tells of them: `what` is "requests that one
    tenant may have".
    """

    def __init__(
        self, bound: int, what: str, log: ThrottledLog, capacity: int | None = None
    ) -> None:
        self.bound = bound
        self.refused = 0
        self._capacity = capacity
        self._crowded = sys.maxsize if capacity is None else capacity * 3 // 4
        self._total = 0
        self._what = what
        self._throttled_log = log
        self._counts: dict[K, int] = {}

    @property
    def counts(self) -> Mapping[K, int]:
        """The requests in flight, of keys that have any."""
        return self._counts

    def enter(self, key: K) -> bool:
        """Count one request more, and return True; return False where the key has all it may."""
        if self.try_enter(key):
            return True
        self.refuse(key)
        return False

    def try_enter(self, key: K) -> bool:
        """Do what `enter` does, but say nothing of a refusal: the caller asks again."""
        count = self._counts.get(key, 0)
        if count >= self.bound or (self._total >= self._crowded and count >= self._fair_part()):
            return False
        self._counts[key] = count + 1
        self._total += 1
        return True

    def is_full(self, key: K) -> bool:
        """Whether a key has all it may."""
        return self._counts.get(key, 0) >= self.bound

    def _fair_part(self) -> int:
        assert self._capacity is not None
        return max(_LEAST_PART, self._capacity // (len(self._counts) + 1))

    def refuse(self, key: K) -> None:
        """Count and log that a key got no more."""
        self.refused += 1
        message = "all %d %s are in flight: %s"
        self._throttled_log.warning(message, self.bound, self._what, key, subject=str(key))

    def leave(self, key: K) -> None:
        """Count one less, for each `enter` that returned True."""
        self._total -= 1
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]
