"""RateCounters for rate limits: one process, check and record in one step, bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stoa_proxy.foundation.clock import Clock

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
    """How one limit stands. `reset` is in seconds: until it is whole again, or admits one more."""

    allowed: bool
    limit: int
    remaining: int
    reset: float


@dataclass(slots=True)
class _Counter:
    """`used` requests (a bucket: its level) since or at `at`; forgotten after `expires`."""

    used: float
    at: float
    expires: float


class RateCounters:
    """All counters of a process. Not shared between processes or threads.

    Idle counters expire; past `maximum` the ones looked at longest ago are dropped.
    """

    def __init__(self, clock: Clock, maximum: int = _MAX_COUNTERS) -> None:
        self._clock = clock
        self._maximum = maximum
        self._counters: dict[tuple[str, ...], _Counter] = {}

    def __len__(self) -> int:
        return len(self._counters)

    def hit(self, limits: Sequence[tuple[tuple[str, ...], Limit]]) -> LimitResult:
        """Record one request against all `(key, limit)` if all of them allow it, else against none.

        Returns the verdict of the limit that refuses longest, or that has the least left.
        """
        now = self._clock.monotonic()
        self._forget(now)
        if len(limits) == 1:
            return self._hit_one(*limits[0], now)
        current = [(key, limit, self._current(key, limit, now)) for key, limit in limits]
        verdicts = [_judge(limit, counter, now) for _, limit, counter in current]
        refused = [verdict for verdict in verdicts if not verdict.allowed]
        if refused:
            return max(refused, key=lambda verdict: verdict.reset)
        for key, limit, counter in current:
            self._record(key, limit, counter)
        return min(verdicts, key=lambda verdict: (verdict.remaining, -verdict.reset))

    def _hit_one(self, key: tuple[str, ...], limit: Limit, now: float) -> LimitResult:
        """`hit` for the one limit that most requests meet."""
        counter = self._current(key, limit, now)
        verdict = _judge(limit, counter, now)
        if verdict.allowed:
            self._record(key, limit, counter)
        return verdict

    def _record(self, key: tuple[str, ...], limit: Limit, counter: _Counter) -> None:
        counter.used += 1
        lasts = counter.used * limit.window / limit.requests if limit.burst else limit.window
        counter.expires = counter.at + lasts
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

    def _forget(self, now: float) -> None:
        """Look at the two counters not looked at for longest; amortised, nothing stays idle."""
        counters = self._counters
        for _ in range(min(2, len(counters))):
            key = next(iter(counters))
            counter = counters.pop(key)
            if counter.expires > now:
                counters[key] = counter
        while len(counters) > self._maximum:
            del counters[next(iter(counters))]


def _judge(limit: Limit, counter: _Counter, now: float) -> LimitResult:
    left = limit.size - counter.used
    # A hair of tolerance: a bucket that refilled for exactly long enough must hold one.
    allowed = left >= 1 - 1e-9
    remaining = max(0, math.floor(left - 1 + 1e-9))
    if not limit.burst:
        reset = max(0.0, counter.at + limit.window - now)
    elif allowed:
        reset = (counter.used + 1) * limit.window / limit.requests
    else:
        reset = (1 - left) * limit.window / limit.requests
    return LimitResult(allowed, limit.size, remaining, reset)
