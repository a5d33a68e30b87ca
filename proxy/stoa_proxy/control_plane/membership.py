"""When to register, when again, and when never: the decisions, without a clock or a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 5.0
MOST_SECONDS: Final = 300.0
"""Pauses after failures in a row: 5, 10, 20 … 300 s (STOA's guide of registration)."""

UNKNOWN_IN_A_ROW: Final = 3
"""After so many responses that there is no such gateway it registers again."""

# Gateways that failed together must not come back together: a quarter more or less.
_SPREAD = 0.25


class Membership:
    """The state of one gateway's membership; `jitter` returns a number from 0 to 1.

    Failed registrations count towards the next pause, and so do registrations that were of no use:
    those after which the control plane knew the gateway no more before it took one beat of it.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._unknown = 0
        self._is_proven = False

    def note_failure(self, at_least: float = 0.0) -> float:
        """Count a failed registration; return the pause before the next one, in seconds.

        `at_least` is what the control plane asked for; it has no more say than the longest pause.
        """
        # The exponent is bounded: a control plane may be away for months.
        pause = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        spread = pause * (1 - _SPREAD + 2 * _SPREAD * self._jitter())
        return min(MOST_SECONDS, max(spread, at_least))

    def note_registered(self) -> None:
        """Note that the control plane took the registration."""
        self._unknown = 0
        self._is_proven = False

    def note_known(self) -> None:
        """Note that it took a beat, or had a table for this gateway."""
        self._unknown = 0
        self._failures = 0
        self._is_proven = True

    def note_unknown(self) -> bool:
        """Count a response that there is no such gateway; True when it is time to register."""
        self._unknown += 1
        return self._unknown >= UNKNOWN_IN_A_ROW

    def pause_before_another(self) -> float:
        """Return the pause before registering again: none where the last one was of use."""
        return 0.0 if self._is_proven else self.note_failure()


def is_final(status: int) -> bool:
    """Whether a registration was refused for good: another try would be refused, too."""
    return status in (401, 403)
