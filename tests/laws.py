"""Number of examples that a property test tries: all of them, some, or few in the quick loop."""

from __future__ import annotations

from hypothesis import settings

# `make test-heavy` runs every law with FULL examples, in CI with half of them; `make test` with
# SUITE, so that the suite stays short enough to be run before each push; `make quick` with QUICK.
FULL = 200
SUITE = 40
QUICK = 20


def examples(count: int) -> settings:
    """Return the settings of a law that needs `count` examples rather than FULL of them.

    The other profiles try the same share of them as of FULL; the quick one never more than QUICK,
    so that a law with 1,500 examples, or one with few but long ones, does not slow down the loop of
    its package.
    """
    profile = settings().max_examples
    share = max(1, count * profile // FULL)
    return settings(max_examples=min(share, QUICK) if profile == QUICK else share)
