"""Rate-limited logging, for lines that clients can provoke with every request."""

from __future__ import annotations

import logging

from stoa_proxy.foundation.clock import Clock

PAUSE_SECONDS = 60.0


class ThrottledLog:
    """Writes to `log` at most once in PAUSE_SECONDS; lines in between are dropped."""

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._next = float("-inf")

    def warning(self, message: str, *values: object, error: BaseException | None = None) -> None:
        """Write a warning; with the traceback of `error` where one is given."""
        now = self._clock.monotonic()
        if now >= self._next:
            self._next = now + PAUSE_SECONDS
            self._log.warning(message, *values, exc_info=error)
