"""Times of day as text, of which most parts are the same for a whole second."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from stoa_proxy.foundation.clock import Clock

THREE_DIGITS: Final = tuple(b"%03d" % number for number in range(1000))
"""Numbers below 1,000 as a fraction has them: to look one up takes a third of formatting it."""

_SECOND = timedelta(seconds=1)


class Timestamps:
    """The clock's time in ISO 8601 with milliseconds, as `datetime.isoformat` writes it."""

    __slots__ = ("_after", "_before", "_begin", "_clock", "_end")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set(clock.now())

    def text(self) -> bytes:
        """Return the time of now, in ASCII."""
        now = self._clock.now()
        # Clocks are set back, too.
        if not self._begin <= now < self._end:
            self._set(now)
        return self._before + THREE_DIGITS[now.microsecond // 1000] + self._after

    def _set(self, now: datetime) -> None:
        self._begin = now.replace(microsecond=0)
        self._end = self._begin + _SECOND
        text = self._begin.isoformat(timespec="milliseconds").encode()
        self._before, self._after = text[:20], text[23:]
