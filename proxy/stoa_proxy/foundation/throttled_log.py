"""Rate-limited logging, for lines that clients can provoke with every request."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from stoa_proxy.foundation.clock import Clock

PAUSE_SECONDS = 60.0
# Of more subjects than these in one pause the further ones share a line.
_SUBJECTS = 64
_OTHERS = ""


@dataclass(slots=True)
class _Pause:
    """When a subject is written about again, and how many lines were left out until then."""

    until: float
    left_out: int = 0


class ThrottledLog:
    """Writes to `log` at most once in PAUSE_SECONDS about one subject.

    The next line about it says how many were left out. So one tenant's lines never hide those
    about another, and nobody can fill the log.
    """

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}

    def warning(
        self,
        message: str,
        *values: object,
        subject: str = _OTHERS,
        error: BaseException | None = None,
    ) -> None:
        """Write a warning; with the traceback of `error` where one is given."""
        now = self._clock.monotonic()
        pause = self._pauses.get(subject)
        if pause is None and len(self._pauses) >= _SUBJECTS:
            self._forget(now)
            if len(self._pauses) >= _SUBJECTS:
                subject, pause = _OTHERS, self._pauses.get(_OTHERS)
        if pause is not None and now < pause.until:
            pause.left_out += 1
            return
        if pause is not None and pause.left_out:
            message, values = f"{message} (left out since: %d)", (*values, pause.left_out)
        self._pauses[subject] = _Pause(now + PAUSE_SECONDS)
        self._log.warning(message, *values, exc_info=error)

    def _forget(self, now: float) -> None:
        """Forget subjects of which nothing was left out, and one that nobody wrote about lately."""
        self._pauses = {
            subject: pause
            for subject, pause in self._pauses.items()
            if now < pause.until or pause.left_out
        }
        ended = [subject for subject, pause in self._pauses.items() if now >= pause.until]
        if len(self._pauses) >= _SUBJECTS and ended:
            del self._pauses[ended[0]]
