"""Pauses before a worker is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.workers.restarts import FIRST_SECONDS, GOOD_SECONDS, MOST_SECONDS, Restarts


@given(st.lists(st.floats(0, GOOD_SECONDS - 1), min_size=1, max_size=200), st.floats(0, 1))
def test_pauses_grow_to_a_bound_and_no_further(served: list[float], jitter: float) -> None:
    restarts = Restarts(lambda: jitter)
    pauses = [restarts.note_end(seconds) for seconds in served]
    assert pauses == sorted(pauses)
    assert pauses[0] <= FIRST_SECONDS * 1.25
    assert max(pauses) <= MOST_SECONDS
    # From the tenth end in a row on it is started twice a minute, three times at most.
    assert all(pause >= MOST_SECONDS * 0.75 for pause in pauses[9:])
    assert restarts.total == len(served)


def test_a_worker_that_served_for_a_while_is_back_at_once() -> None:
    restarts = Restarts(lambda: 0.5)
    for _ in range(20):
        restarts.note_end(1.0)
    assert restarts.note_end(GOOD_SECONDS) == FIRST_SECONDS
    assert restarts.note_end(1.0) == 2 * FIRST_SECONDS
