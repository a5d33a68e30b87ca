"""The process's own pulse: how late the loop is, and whether the clock of the wall stepped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

log = logging.getLogger(__name__)

BEAT: Final = 1.0
"""Seconds between two samples."""

STEP: Final = timedelta(seconds=5)
"""A difference between wall and monotonic clock from which on it is a step, and no drift."""


class LoopMonitor:
    """Feeds a metric, and tells when times that were planned by the wall clock no longer hold."""

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
        self._offset = self._look()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            due = self._steady() + BEAT
            await asyncio.sleep(BEAT)
            self._lag(max(0.0, self._steady() - due))
            self.check()

    def check(self) -> None:
        """Compare the two clocks once."""
        offset = self._look()
        step, self._offset = offset - self._offset, offset
        if abs(step) >= STEP:
            log.warning(
                "the clock stepped by %+.0f s: all drift checks are rescheduled",
                step.total_seconds(),
            )
            self._stepped(step)

    def _look(self) -> timedelta:
        now = self._clock()
        return now - datetime.fromtimestamp(0, now.tzinfo) - timedelta(seconds=self._steady())
