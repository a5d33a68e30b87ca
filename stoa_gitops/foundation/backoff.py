"""Exponential backoff with equal jitter, for failures in a row."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

_DICE: Final = random.Random()  # noqa: S311 - spreads retries, guards nothing
"""One for all: the state of a generator is 2.5 KiB, and each gateway of a fleet has a backoff."""


@dataclass(slots=True)
class Backoff:
    """Exponential with equal jitter (half to all of the ceiling), in seconds.

    Jitter keeps gateways that fail together from coming back together; half is kept, so that a wait
    is never next to nothing (docs/adr/0010).
    """

    first: float = 1.0
    most: float = 300.0
    dice: random.Random = field(default_factory=lambda: _DICE)
    failures: int = 0

    def next(self, at_least: float = 0.0) -> float:
        """Count one more failure and return the pause; `at_least` is what a gateway asked for."""
        # Bounded exponent: 2.0 ** 1024 raises OverflowError, and a gateway may be away for months.
        ceiling = min(self.most, self.first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return max(at_least, self.dice.uniform(ceiling / 2, ceiling))

    def reset(self) -> None:
        """Begin again after a success."""
        self.failures = 0
