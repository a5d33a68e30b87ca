"""Counts of quotas in memory that several processes have."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core import shared_quotas
from stoa_proxy.core.quotas import PERIODS, QuotaCounters, QuotaKey, SavedCount
from stoa_proxy.core.shared_quotas import SharedQuotaCounters

from tests.proxy.conftest import FakeClock
from tests.proxy.core.shared import LocalMemory, slot_table

HOUR = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def key(caller: object, period: str = "hour", tenant: str = "acme") -> QuotaKey:
    return QuotaKey(tenant, "p", "api", period, "header", str(caller))


def workers(clock: FakeClock, count: int, buckets: int = 512) -> list[SharedQuotaCounters]:
    memory = LocalMemory(buckets)
    return [
        SharedQuotaCounters(clock, slot_table(buckets, memory), parts=count) for _ in range(count)
    ]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from((0.0, 1.0, 600.0, 3600.0, 86_400.0)),
            st.integers(0, 2), st.sampled_from(PERIODS), st.integers(1, 5),
        ),
        max_size=60,
    )
)  # fmt: skip
def test_several_processes_say_what_one_would(
    requests: list[tuple[int, float, int, str, int]],
) -> None:
    clock = FakeClock()
    alone, several = QuotaCounters(clock), workers(clock, 3)
    for worker, pause, caller, period, most in requests:
        clock.advance(pause)
        expected = alone.hit(key(caller, period), most)
        assert several[worker].preview().hit(key(caller, period), most).allowed == expected.allowed
        assert several[worker].hit(key(caller, period), most) == expected


def test_whoever_keeps_counts_learns_their_names_and_what_all_have_counted(
    clock: FakeClock,
) -> None:
    keeper, one, other = workers(clock, 3)
    keeper.watch()
    for _ in range(3):
        one.hit(key("a"), 10)
        other.hit(key("a"), 10)
    other.hit(key("b"), 10)
    keeper.note_changed(one.take_changed_keys())
    assert [(saved.key.subject, saved.used) for saved in keeper.take_changed()] == [("a", 6)]
    keeper.note_changed(other.take_changed_keys())
    assert {(one.key.subject, one.used) for one in keeper.take_changed()} == {("a", 6), ("b", 1)}
    assert one.take_changed_keys() == []
    assert {(one.key.subject, one.used) for one in keeper.snapshot()} == {("a", 6), ("b", 1)}


def test_counts_of_before_a_restart_go_on_in_every_process(clock: FakeClock) -> None:
    start = int(clock.now().timestamp()) // 3600 * 3600
    keeper, one = workers(clock, 2)
    one.hit(key("a"), 10)
    keeper.restore(
        [SavedCount(key("a"), start, 5), SavedCount(key("b"), start, 2), SavedCount(key("c"), 0, 9)]
    )
    assert [one.hit(key(name), 10).remaining for name in "abc"] == [4, 7, 9]
    keeper.restore([SavedCount(key("a"), start, 1)])
    assert one.peek(key("a")) == 6, "what is counted does not become less"


def test_callers_beyond_the_bound_share_a_count(clock: FakeClock) -> None:
    one, other = workers(clock, 2)
    room = -(-shared_quotas.PER_POLICY // 2)
    one._of_policy[key(0)[:3]] = other._of_policy[key(0)[:3]] = room
    assert [one.hit(key("a"), 2).allowed, other.hit(key("a"), 2).allowed] == [True, True]
    assert not one.hit(key("a"), 2).allowed
    assert one.peek(key("a")) == 2


def test_a_full_table_refuses_until_a_period_is_over(clock: FakeClock) -> None:
    (counters,) = workers(clock, 1, buckets=1)
    for caller in range(8):
        counters.hit(key(caller), 10)
    assert not counters.hit(key("late"), 10).allowed
    clock.advance(3600)
    assert counters.hit(key("late"), 10).remaining == 9
