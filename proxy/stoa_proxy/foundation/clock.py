"""Time that is handed in, so that limits and fallbacks are tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of time for limits, subscriptions, fallbacks and logs."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def now(self) -> datetime:
        """Return the wall clock, with a time zone."""
        ...

    def time_ns(self) -> int:
        """Return the wall clock as nanoseconds since 1970."""
        ...


class SystemClock:
    """The machine's own clock."""

    # Itself, without a call around it: it is asked several times for each request.
    monotonic = staticmethod(time.monotonic)
    time_ns = staticmethod(time.time_ns)

    def now(self) -> datetime:
        """Return the wall clock in UTC."""
        return datetime.now(UTC)
