"""Counters of rate limits in memory that several processes have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.counters import Key, RateCounters
from stoa_proxy.core.limits import Limit
from stoa_proxy.core.shared_counters import SharedRateCounters
from stoa_proxy.core.shared_slots import Figures, SlotTable

from tests.proxy.conftest import FakeClock
from tests.proxy.core.shared import LocalMemory, slot_table

FIVE = Limit(5, 60.0)
LIMITS = (FIVE, Limit(3, 2.0), Limit(4, 10.0, burst=2), Limit(6, 20.0, is_sliding=True))


def key(caller: object, policy: str = "p", kind: str = "w") -> Key:
    return ("policy", policy, "api", kind, "header", str(caller))


def workers(
    clock: FakeClock, count: int, buckets: int = 512, per_policy: int = 100, per_tenant: int = 200
) -> list[SharedRateCounters]:
    memory = LocalMemory(buckets)
    return [
        SharedRateCounters(
            clock, slot_table(buckets, memory), per_policy=per_policy, per_tenant=per_tenant
        )
        for _ in range(count)
    ]


def flood(counters: RateCounters, callers: int, policy: str = "p") -> None:
    for caller in range(callers):
        counters.hit("evil", [(key(f"made up {caller}", policy), FIVE)])


# Which of three processes has the request, after how long, of which callers and by which limits.
REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from((0.0, 0.1, 0.9, 1.0, 2.0, 7.5, 61.0)),
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=3, unique=True
        ),
    ),
    max_size=60,
)


@given(REQUESTS)
def test_several_processes_say_what_one_would(
    requests: list[tuple[int, float, list[tuple[int, int]]]],
) -> None:
    clock = FakeClock()
    alone, several = RateCounters(clock), workers(clock, 3)
    for worker, pause, wanted in requests:
        clock.advance(pause)
        limits = [(key(caller, kind=str(kind)), LIMITS[kind]) for caller, kind in wanted]
        expected = alone.hit("acme", limits)
        # Before: it tells, and counts nothing.
        assert several[worker].preview().hit("acme", limits) == expected
        assert several[worker].hit("acme", limits) == expected


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=120))
def test_no_caller_gets_more_than_the_limit_where_counters_are_shared(
    room: int, requests: list[tuple[int, int]]
) -> None:
    clock = FakeClock()
    several = workers(clock, 4, per_policy=room)
    allowed = [0] * 10
    for worker, caller in requests:
        allowed[caller] += several[worker].hit("acme", [(key(caller), FIVE)]).allowed
    # One more allowance at most: a caller of a shared counter gets its own with what that one says.
    assert max(allowed) <= FIVE.requests


@pytest.mark.parametrize("limit", [FIVE, Limit(5, 60.0, burst=5), Limit(5, 60.0, is_sliding=True)])
def test_made_up_callers_reset_no_count_of_another_caller(clock: FakeClock, limit: Limit) -> None:
    one, other = workers(clock, 2, per_policy=50)
    while one.hit("evil", [(key("early"), limit)]).allowed:
        pass
    flood(one, 1000)
    flood(other, 1000)
    assert not other.hit("evil", [(key("early"), limit)]).allowed


def test_a_full_table_refuses_rather_than_to_forget_a_caller(clock: FakeClock) -> None:
    (counters,) = workers(clock, 1, buckets=1, per_policy=10_000, per_tenant=10_000)
    flood(counters, 8)
    result = counters.hit("acme", [(key("late"), FIVE)])
    assert (result.allowed, result.remaining, result.reset) == (False, 0, 60.0)
    clock.advance(61)
    assert counters.hit("acme", [(key("late"), FIVE)]).remaining == 4


def test_counters_that_expired_are_forgotten(clock: FakeClock) -> None:
    (counters,) = workers(clock, 1)
    flood(counters, 60)
    assert len(counters) == 60
    clock.advance(30)
    counters.hit("evil", [(key("made up 0"), Limit(5, 120.0))])
    clock.advance(31)
    flood(counters, 60, policy="q")
    # The one that goes on in its longer window is not made up again.
    assert len(counters) == 61
    assert [(one.tenant, one.counters) for one in counters.figures()] == [("evil", 61)]


def test_a_process_that_is_killed_while_it_writes_has_changed_nothing() -> None:
    table = slot_table(1)
    place = table.place(("k",))
    assert table.take(place, Figures(1, 2, 3), 0.0)
    slot = table.find(place)
    assert slot is not None
    table.write(slot, Figures(4, 5, 6, 7, tuple(range(11))))
    whole = table.read(slot)
    # All but the last byte that `write` stores is what a killed process leaves at worst.
    chosen = table._bytes[slot + 16]
    table.write(slot, Figures(9, 9, 9))
    table._bytes[slot + 16] = chosen
    assert table.read(slot) == whole


def test_keys_are_told_apart_whatever_callers_send() -> None:
    table = SlotTable(LocalMemory(4), b"secret", buckets=4)
    keys = [
        ("a", "b"),
        ("ab",),
        ("a", "", "b"),
        ("a\0b",),
        ("a", "b\ud800"),
        ("', '",),
        ("a', 'b",),
    ]
    assert len({table.place(one).digest for one in keys}) == len(keys)
