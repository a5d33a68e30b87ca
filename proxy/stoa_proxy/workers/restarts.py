"""When a worker that ended is started again. No clock and no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 30.0
"""Pauses: the first, then each twice as long as the one before, up to this."""

GOOD_SECONDS: Final = 60.0
"""A worker that served for so long begins anew with the first pause."""

# Workers that ended together must not come back together: a quarter more or less.
_SPREAD: Final = 0.25


class Restarts:
    """The pauses of one worker; `jitter` returns a number from 0 to 1.

    So a worker that ends again and again is started twice a minute at most in the long run, and
    one that is killed once is back at once.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._in_a_row = 0
        self.total = 0

    def note_end(self, served_seconds: float) -> float:
        """Count a worker that ended after it had served so long; return the pause before the next.

        In seconds.
        """
        if served_seconds >= GOOD_SECONDS:
            self._in_a_row = 0
        # The exponent is bounded: a port may be taken for months.
        pause = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._in_a_row, 20))
        self._in_a_row += 1
        self.total += 1
        return min(MOST_SECONDS, pause * (1 - _SPREAD + 2 * _SPREAD * self._jitter()))
