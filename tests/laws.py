"""Number of examples that a property test tries: all of them, or few in the quick loop."""

from __future__ import annotations

from hypothesis import settings

FULL = 200
QUICK = 20


def examples(count: int) -> settings:
    """Return the settings of a law that needs `count` examples rather than the profile's number.

    The quick profile tries a tenth of them and never more than QUICK, so that a law with 1,500
    examples, or one with few but long ones, does not slow down the loop of its package.
    """
    is_quick = settings().max_examples == QUICK
    return settings(max_examples=max(1, min(count * QUICK // FULL, QUICK)) if is_quick else count)
