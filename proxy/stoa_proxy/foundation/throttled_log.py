"""Log lines that others can provoke, written at most once in a while."""

from __future__ import annotations

import logging

from stoa_proxy.foundation.clock import Clock

PAUSE_SECONDS = 60.0


class ThrottledLog:
    """Writes to `log` at most once in PAUSE_SECONDS; what comes in between is left out."""

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._next = float("-inf")

    def warning(self, message: str, *values: object) -> None:
        """A warning, without a traceback."""
        now = self._clock.monotonic()
        if now >= self._next:
            self._next = now + PAUSE_SECONDS
            self._log.warning(message, *values)
