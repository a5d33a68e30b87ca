"""Keeps calls within the admin limit of the real STOA gateway.

STOA gateway 0.9.25 takes 1,000 calls of one peer in any 60 s (`rate_limit_default`,
`rate_limit_window_seconds`) and names its limit with a 429 only: `x-ratelimit-limit` and
`x-ratelimit-reset`, seconds since 1970. Wrong tokens and other programs on this host count, too.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable

from stoa_gitops.adapter_sdk.http.responses import Response

DEFAULT_CALLS = 1000
WINDOW_SECONDS = 60.0

# A cycle has four reads, and another one may start while a plan is applied.
RESERVED_CALLS = 20
"""Calls that writes leave to health checks and lists; a tenth at most of a smaller limit."""

# Twice the window: behind a wrong clock a gateway must not put its own reconciliation off.
MAX_WAIT_SECONDS = 2 * WINDOW_SECONDS


class AdminPace:
    """Counts the calls of one client, and says when the next write has its turn.

    is_limited             whether the gateway refused a call for its limit
    monotonic, now, sleep  injected for tests: seconds of a clock that never goes back, seconds
                           since 1970, pause in seconds
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._monotonic, self._now, self._sleep = monotonic, now, sleep
        self.is_limited = False
        self._limit = DEFAULT_CALLS
        self._not_before = 0.0
        self._calls: list[float] = []  # the oldest first; a deque is a block of 760 bytes
        # Several writers wait: they take the turns one by one.
        self._turn = asyncio.Lock()

    @property
    def remembered(self) -> int:
        """How many calls are remembered: those of the window, as of the last one."""
        return len(self._calls)

    def count_response(self, response: Response) -> None:
        """Count a call; take limit and reset from the headers of a 429."""
        if response.status != 429:
            # Later than the gateway counted it, so it is never taken for free too early.
            now = self._monotonic()
            self._drop_old(now)
            self._calls.append(now)
            return
        headers = response.headers
        reset = _number(headers.get("x-ratelimit-reset"))
        if reset is None:
            # Somebody else's 429, as a proxy's: its Retry-After goes to whoever asked.
            return
        self.is_limited = True
        limit = _number(headers.get("x-ratelimit-limit"))
        if limit:
            self._limit = limit
        # Whole seconds, cut off: at that very second the first call may not be free yet.
        wait = reset - self._now() + 1.0
        self._not_before = self._monotonic() + min(max(wait, 1.0), MAX_WAIT_SECONDS)

    async def wait_for_turn(self, calls: int = 1) -> None:
        """Wait until the gateway takes another write of so many calls."""
        async with self._turn:
            while (wait := self._seconds_to_wait(calls)) > 0:
                await self._sleep(wait)

    def _seconds_to_wait(self, calls: int) -> float:
        now = self._monotonic()
        self._drop_old(now)
        reserved = min(RESERVED_CALLS, self._limit // 10)
        # A write of more calls than that goes alone, into an empty window.
        room = max(self._limit - reserved - calls, 0)
        wait = self._not_before - now
        if len(self._calls) > room:
            # When so many of the oldest are out of the window that the rest leaves room.
            wait = max(wait, self._calls[-room - 1] + WINDOW_SECONDS - now)
        return wait

    def _drop_old(self, now: float) -> None:
        del self._calls[: bisect_right(self._calls, now - WINDOW_SECONDS)]


def _number(text: str | None) -> int | None:
    # isdigit alone accepts digits of other scripts.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None
