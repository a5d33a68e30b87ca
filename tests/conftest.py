"""Settings of all tests: how many examples a property test tries, and whether they are random."""

from __future__ import annotations

import gc
import os

from hypothesis import HealthCheck, settings

from tests.laws import FULL, QUICK, SUITE

# No deadline: machines are shared. On a developer's machine each run looks for new
# counterexamples; CI tries the same examples each time, so that a change lands or not for what it
# changed. What they find there they found the first time, so half of them are enough.
IS_CI = bool(os.environ.get("CI"))
settings.register_profile(
    "full",
    max_examples=FULL // 2 if IS_CI else FULL,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=IS_CI,
)
# pytest --hypothesis-profile=full is a part of `make test-heavy`, =quick of `make quick`.
settings.register_profile("suite", settings.get_profile("full"), max_examples=SUITE)
settings.register_profile("quick", settings.get_profile("full"), max_examples=QUICK)
settings.load_profile("suite")


def pytest_runtest_teardown() -> None:
    """Give the collector back what a command froze that ran in this process.

    Commands freeze what they read, for they end with it. Here it piled up, and whoever asked how
    much is frozen walked through millions of objects: 130 ms with each reading of a catalog.
    """
    gc.unfreeze()
