"""Measures how late the event loop is, and detects steps of the wall clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

log = logging.getLogger(__name__)

# Seconds between two samples: short enough to see a pause of the loop, and of no cost.
BEAT: Final = 1.0

# NTP slews by at most 0.5 ms per second; a difference of this size between the clocks is a step.
STEP: Final = timedelta(seconds=5)


class LoopMonitor:
    """Reports loop lag to `lag`, and steps of the wall clock to `stepped`."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        lag: Callable[[float], None],
        stepped: Callable[[timedelta], None],
        *,
        steady: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._lag = lag
        self._stepped = stepped
        self._steady = steady
        self._offset = self._clock_offset()

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            due = self._steady() + BEAT
            await asyncio.sleep(BEAT)
            self._lag(max(0.0, self._steady() - due))
            self.check()

    def check(self) -> None:
        """Compare the two clocks once."""
        # Both clocks advance alike; a change of their difference is a step of the wall clock.
        offset = self._clock_offset()
        step, self._offset = offset - self._offset, offset
        if abs(step) >= STEP:
            log.warning(
                "the clock stepped by %+.0f s: all drift checks are rescheduled",
                step.total_seconds(),
            )
            self._stepped(step)

    def _clock_offset(self) -> timedelta:
        now = self._clock()
        return now - datetime.fromtimestamp(0, now.tzinfo) - timedelta(seconds=self._steady())
