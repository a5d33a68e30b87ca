"""Says a trouble once, again after a while, and that it is over: for what is tried for ever."""

from __future__ import annotations

import logging

from stoa_proxy.foundation.clock import Clock

_AGAIN_SECONDS = 600.0


class TroubleLog:
    """One kind of call: warns when it begins to fail in another way, or still does after 10 min."""

    def __init__(self, log: logging.Logger, clock: Clock, what: str) -> None:
        self._log = log
        self._clock = clock
        self._what = what
        self._reason: str | None = None
        self._said_at = 0.0

    def failed(self, reason: str, level: int = logging.WARNING) -> None:
        """Note a failure; the ones between two lines of `level` are at debug level."""
        now = self._clock.monotonic()
        is_new = reason != self._reason or now - self._said_at >= _AGAIN_SECONDS
        if is_new:
            self._reason, self._said_at = reason, now
        self._log.log(level if is_new else logging.DEBUG, "%s failed: %s", self._what, reason)

    def succeeded(self) -> None:
        """Note a success; said where it ends a trouble."""
        if self._reason is not None:
            self._log.info("%s works again", self._what)
            self._reason = None
