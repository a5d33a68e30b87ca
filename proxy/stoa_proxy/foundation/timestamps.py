"""Times of day as text, of which most parts are the same for a whole second."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from stoa_proxy.foundation.clock import Clock

THREE_DIGITS: Final = tuple(b"%03d" % number for number in range(1000))
"""Numbers below 1,000 as a fraction has them: to look one up takes a third of formatting it."""

_SECOND: Final = 1_000_000_000


class Timestamps:
    """The clock's time in ISO 8601 with milliseconds, as `datetime.isoformat` writes it, in UTC."""

    __slots__ = ("_after", "_before", "_begin", "_time")

    def __init__(self, clock: Clock) -> None:
        # Not as a `datetime`, which takes longer to make than all the rest.
        self._time = clock.time_ns
        self._set(self._time())

    def text(self) -> bytes:
        """Return the time of now, in ASCII."""
        now = self._time()
        below = now - self._begin
        if not 0 <= below < _SECOND:  # clocks are set back, too
            self._set(now)
            below = now - self._begin
        return self._before + THREE_DIGITS[below // 1_000_000] + self._after

    def _set(self, now: int) -> None:
        second = now // _SECOND
        self._begin = second * _SECOND
        text = datetime.fromtimestamp(second, UTC).isoformat(timespec="milliseconds").encode()
        self._before, self._after = text[:20], text[23:]
