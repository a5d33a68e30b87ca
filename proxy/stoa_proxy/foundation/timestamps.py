"""Times of day as text, of which most parts are the same for a whole second."""

from __future__ import annotations

from datetime import datetime, timedelta

from stoa_proxy.foundation.clock import Clock

_SECOND = timedelta(seconds=1)


class Timestamps:
    """The clock's time in ISO 8601 with milliseconds, as `datetime.isoformat` writes it."""

    __slots__ = ("_after", "_before", "_begin", "_clock", "_end")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set(clock.now())

    def text(self) -> str:
        """Return the time of now."""
        now = self._clock.now()
        # Clocks are set back, too.
        if not self._begin <= now < self._end:
            self._set(now)
        return f"{self._before}{now.microsecond // 1000:03d}{self._after}"

    def _set(self, now: datetime) -> None:
        self._begin = now.replace(microsecond=0)
        self._end = self._begin + _SECOND
        text = self._begin.isoformat(timespec="milliseconds")
        self._before, self._after = text[:20], text[23:]
