"""Places that are counted by who takes them."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.foundation.in_flight import InFlight
from stoa_proxy.foundation.throttled_log import ThrottledLog

from tests.proxy.conftest import FakeClock

LOG = ThrottledLog(logging.getLogger("test"), FakeClock())
CAPACITY = 400


def fill(places: InFlight[str], key: str) -> int:
    """Take all places that a key may have."""
    count = 0
    while places.enter(key):
        count += 1
    return count


def test_a_key_has_its_bound_and_gets_back_what_it_gives() -> None:
    places: InFlight[str] = InFlight(2, "things", LOG)
    assert [places.enter(key) for key in "aaab"] == [True, True, False, True]
    places.leave("a")
    assert places.enter("a")
    assert (dict(places.counts), places.refused) == ({"a": 2, "b": 1}, 1)


def test_two_that_take_all_they_may_leave_places_for_a_third() -> None:
    places: InFlight[str] = InFlight(CAPACITY // 2, "things", LOG, CAPACITY)
    first, second, third = (fill(places, key) for key in "abc")
    assert first == CAPACITY // 2
    assert second == CAPACITY // 3
    assert third == CAPACITY // 4, "by the bound of connections there are 67"
    for _ in range(first):  # what was taken ends by and by, and is given out evenly
        places.leave("a")
        places.enter("a")
    assert places.counts["a"] == CAPACITY // 4


Steps = st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=300)


@given(steps=Steps)
def test_all_places_come_back(
    steps: list[tuple[str, bool]],
) -> None:
    places: InFlight[str] = InFlight(40, "things", LOG, 80)
    held = dict.fromkeys("abcde", 0)
    for key, is_entering in steps:
        if is_entering:
            held[key] += places.enter(key)
        elif held[key]:
            places.leave(key)
            held[key] -= 1
    assert dict(places.counts) == {key: count for key, count in held.items() if count}
    for key, count in held.items():
        for _ in range(count):
            places.leave(key)
    assert (dict(places.counts), places._total) == ({}, 0)
