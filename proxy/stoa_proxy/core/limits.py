"""What a rate limit is, and how one counter is counted: fixed windows, sliding ones and buckets.

A sliding window is counted by tenths. The tenth in which it began still counts as a whole, so in no
span of time of the window's length are there more requests than the limit has, and a request is
forgotten a tenth of the window late at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

# Of a sliding window; as many are kept and one more, of which part is over.
_TENTHS: Final = 10
_KEPT: Final = _TENTHS + 1


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` in `window` seconds.

    Without `burst` a fixed window that begins with its first request, or any span of that length
    (`is_sliding`). With `burst` a bucket of that many requests which refills at
    `requests / window`.
    """

    requests: int
    window: float
    burst: int | None = None
    is_sliding: bool = False

    @property
    def size(self) -> int:
        """How many requests can come at once."""
        return self.burst or self.requests

    @property
    def is_fixed(self) -> bool:
        """Whether it is a window that begins with its first request."""
        return not self.burst and not self.is_sliding

    @property
    def shared(self) -> Limit:
        """Return the limit by which a counter of many callers is counted: as strict or stricter.

        Tenths would need ten numbers for each: a bucket of half of them and one that brings the
        other half in a window lets no more through.
        """
        if not self.is_sliding:
            return self
        burst = max(1, self.requests // 2)
        return Limit(max(1, self.requests - burst), self.window, burst)


class LimitResult(NamedTuple):
    """The state of one limit after a request; `reset` in seconds.

    Until the limit is whole again where the request is allowed, else until it admits one more.
    `window` in seconds; `name` tells clients of several limits which one it is.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: float
    window: float = 0.0
    name: str = "rate"


@dataclass(slots=True)
class Count:
    """`used` requests since `at` (of a bucket: its level at `at`); dropped after `expires`."""

    used: float
    at: float
    expires: float


@dataclass(slots=True)
class SlidingCount(Count):
    """`used` are those of all tenths; `at` is the number of the newest, each of `seconds`."""

    seconds: float = 1.0
    tenths: list[int] = field(default_factory=lambda: [0] * _KEPT)

    def age_of(self, tenth: int) -> int:
        """Return how many requests were counted so many tenths ago."""
        return self.tenths[(int(self.at) - tenth) % _KEPT]


def fresh(limit: Limit, now: float) -> Count:
    """Return a counter that has counted nothing."""
    if not limit.is_sliding:
        return Count(0.0, now, now)
    seconds = limit.window / _TENTHS
    return SlidingCount(0.0, now // seconds, now, seconds)


def taken_over(shared: Count, limit: Limit, now: float) -> Count:
    """Return a caller's own counter that begins with what one of many callers says."""
    if not limit.is_sliding:
        return advance(shared, limit, now)
    count = fresh(limit, now)
    if shared.used and now - shared.at < limit.window:
        # Its bucket has lost what it brought in this window.
        bucket = limit.shared
        _add(count, min(limit.requests, math.ceil(shared.used) + bucket.requests))
    return count


def advance(count: Count, limit: Limit, now: float) -> Count:
    """Return a counter as it is now: a bucket leaks, a window that is over begins anew."""
    if limit.is_sliding:
        return _slide(count, limit, now)
    if limit.burst:
        leaked = (now - count.at) * limit.requests / limit.window
        return Count(max(0.0, count.used - leaked), now, count.expires)
    if now - count.at >= limit.window:
        return Count(0.0, now, now)
    return count


def _slide(count: Count, limit: Limit, now: float) -> Count:
    seconds = limit.window / _TENTHS
    if not isinstance(count, SlidingCount) or count.seconds != seconds:
        # Another window than before: what was counted counts as if it came now.
        moved = fresh(limit, now)
        _add(moved, math.ceil(count.used))
        return moved
    newest = now // seconds
    gone = int(newest - count.at)
    if gone <= 0:
        return count
    tenths = list(count.tenths)
    for number in range(1, min(gone, _KEPT) + 1):
        tenths[(int(count.at) + number) % _KEPT] = 0
    return SlidingCount(sum(tenths), newest, count.expires, seconds, tenths)


def _add(count: Count, requests: int) -> None:
    assert isinstance(count, SlidingCount), "made by `fresh`"
    count.tenths[int(count.at) % _KEPT] += requests
    count.used += requests


def add(count: Count, limit: Limit) -> None:
    """Count one request more."""
    if isinstance(count, SlidingCount):
        _add(count, 1)
        count.expires = (count.at + _KEPT) * count.seconds
        return
    count.used += 1
    # A bucket that has drained, like a window that is over, is the same as no counter.
    seconds = count.used * limit.window / limit.requests if limit.burst else limit.window
    count.expires = count.at + seconds


def check(limit: Limit, count: Count, now: float) -> LimitResult:
    """Return whether a limit admits one more request; the counter is as of `now`."""
    left = limit.size - count.used
    # Tolerance for rounding: a bucket that refilled for exactly long enough must hold one.
    allowed = left >= 1 - 1e-9
    remaining = int(left - 1 + 1e-9) if allowed else 0
    if isinstance(count, SlidingCount):
        reset = _sliding_reset(limit, count, now, allowed=allowed)
    elif not limit.burst:
        reset = max(0.0, count.at + limit.window - now)
    elif allowed:
        reset = (count.used + 1) * limit.window / limit.requests
    else:
        reset = (1 - left) * limit.window / limit.requests
    return LimitResult(allowed, limit.size, remaining, reset, limit.window)


def _sliding_reset(limit: Limit, count: SlidingCount, now: float, *, allowed: bool) -> float:
    """Return when the newest tenth is forgotten, or as many old ones as make room for one."""
    tenth, left = 0, count.used
    if not allowed:
        for tenth in range(_TENTHS, -1, -1):
            left -= count.age_of(tenth)
            if left < limit.requests:
                break
    return max(0.0, (count.at - tenth + _KEPT) * count.seconds - now)


def deciding(results: Sequence[LimitResult]) -> LimitResult:
    """Return the result that refuses longest, or that has the least left."""
    refused = [result for result in results if not result.allowed]
    if refused:
        return max(refused, key=lambda result: result.reset)
    return min(results, key=lambda result: (result.remaining, -result.reset))
