from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.foundation.backoff import Backoff


@given(st.integers(0, 2**32), st.integers(1, 80))
def test_waits_grow_to_the_ceiling_and_never_past_it(seed: int, failures: int) -> None:
    backoff = Backoff(first=1, most=300, dice=random.Random(seed))
    waits = [backoff.next() for _ in range(failures)]
    for number, wait in enumerate(waits):
        ceiling = min(300, 2**number)
        assert ceiling / 2 <= wait <= ceiling


@given(st.floats(0, 1000))
def test_a_gateway_that_names_a_time_is_not_asked_sooner(at_least: float) -> None:
    assert Backoff().next(at_least) >= at_least


def test_a_success_begins_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1
