"""Counters of rate limits, of one process: checked and counted in one step, bounded in number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stoa_proxy.foundation.clock import Clock

# Callers create counters (by addresses, by header values), so their number must be bounded.
_MAX_COUNTERS = 200_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` in `window` seconds.

    Without `burst` a fixed window that begins with its first request. With `burst` a bucket of
    that many requests which refills at `requests / window`.
    """

    requests: int
    window: float
    burst: int | None = None

    @property
    def size(self) -> int:
        """How many requests can come at once."""
        return self.burst or self.requests


class LimitResult(NamedTuple):
    """The state of one limit after a request; `reset` in seconds.

    Until the limit is whole again where the request is allowed, else until it admits one more.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: float


@dataclass(slots=True)
class _Counter:
    """`used` requests since `at` (of a bucket: its level at `at`); dropped after `expires`."""

    used: float
    at: float
    expires: float


class RateCounters:
    """All rate counters of a process, by key. Not shared between processes or threads.

    Idle counters expire; above `maximum` those that were checked longest ago are dropped.
    """

    def __init__(self, clock: Clock, maximum: int = _MAX_COUNTERS) -> None:
        self._clock = clock
        self._maximum = maximum
        self._counters: dict[tuple[str, ...], _Counter] = {}

    def __len__(self) -> int:
        return len(self._counters)

    def hit(self, limits: Sequence[tuple[tuple[str, ...], Limit]]) -> LimitResult:
        """Count one request against all `(key, limit)` if all of them allow it, else against none.

        Returns the result of the limit that refuses longest, or that has the least left.
        """
        now = self._clock.monotonic()
        self._expire(now)
        if len(limits) == 1:
            return self._hit_one(*limits[0], now)
        current = [(key, limit, self._current(key, limit, now)) for key, limit in limits]
        results = [_check(limit, counter, now) for _, limit, counter in current]
        refused = [result for result in results if not result.allowed]
        if refused:
            return max(refused, key=lambda result: result.reset)
        for key, limit, counter in current:
            self._count(key, limit, counter)
        return min(results, key=lambda result: (result.remaining, -result.reset))

    def _hit_one(self, key: tuple[str, ...], limit: Limit, now: float) -> LimitResult:
        """Do what `hit` does for the single limit that most requests have."""
        counter = self._current(key, limit, now)
        result = _check(limit, counter, now)
        if result.allowed:
            self._count(key, limit, counter)
        return result

    def _count(self, key: tuple[str, ...], limit: Limit, counter: _Counter) -> None:
        counter.used += 1
        # A bucket that has drained, like a window that is over, is the same as no counter.
        seconds = counter.used * limit.window / limit.requests if limit.burst else limit.window
        counter.expires = counter.at + seconds
        self._counters[key] = counter

    def _current(self, key: tuple[str, ...], limit: Limit, now: float) -> _Counter:
        counter = self._counters.get(key)
        if counter is None:
            return _Counter(0.0, now, now)
        if limit.burst:
            leaked = (now - counter.at) * limit.requests / limit.window
            return _Counter(max(0.0, counter.used - leaked), now, counter.expires)
        if now - counter.at >= limit.window:
            return _Counter(0.0, now, now)
        return counter

    def _expire(self, now: float) -> None:
        """Check the two counters that were checked longest ago, and drop those that have expired.

        Two per request, so that counters go faster than requests can create them.
        """
        counters = self._counters
        for _ in range(min(2, len(counters))):
            key = next(iter(counters))
            counter = counters.pop(key)
            if counter.expires > now:
                counters[key] = counter
        while len(counters) > self._maximum:
            del counters[next(iter(counters))]


def _check(limit: Limit, counter: _Counter, now: float) -> LimitResult:
    left = limit.size - counter.used
    # Tolerance for rounding: a bucket that refilled for exactly long enough must hold one.
    allowed = left >= 1 - 1e-9
    remaining = max(0, math.floor(left - 1 + 1e-9))
    if not limit.burst:
        reset = max(0.0, counter.at + limit.window - now)
    elif allowed:
        reset = (counter.used + 1) * limit.window / limit.requests
    else:
        reset = (1 - left) * limit.window / limit.requests
    return LimitResult(allowed, limit.size, remaining, reset)
