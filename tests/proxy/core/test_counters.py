"""Rate counters: windows, buckets, and tables that callers fill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.counters import Key, RateCounters
from stoa_proxy.core.limits import Limit

from tests.proxy.conftest import FakeClock

FIVE = Limit(5, 60.0)


def key(caller: object, policy: str = "p", kind: str = "w") -> Key:
    return ("policy", policy, "api", kind, "header", str(caller))


def flood(counters: RateCounters, callers: int, tenant: str = "evil", policy: str = "p") -> None:
    for caller in range(callers):
        counters.hit(tenant, [(key(f"made up {caller}", policy), FIVE)])


def use_up(counters: RateCounters, tenant: str, caller: str, limit: Limit = FIVE) -> None:
    while counters.hit(tenant, [(key(caller), limit)]).allowed:
        pass


def test_a_burst_is_a_bucket_that_refills(clock: FakeClock) -> None:
    counters = RateCounters(clock)
    limit = [(("k",), Limit(1, 1.0, burst=3))]
    assert [counters.hit("t", limit).allowed for _ in range(4)] == [True, True, True, False]
    clock.advance(1)
    assert [counters.hit("t", limit).allowed for _ in range(2)] == [True, False]
    clock.advance(100)
    assert [counters.hit("t", limit).allowed for _ in range(4)] == [True, True, True, False]


def test_a_request_that_one_limit_refuses_is_counted_by_none(clock: FakeClock) -> None:
    counters = RateCounters(clock)
    tight, wide = (("t",), Limit(1, 60.0)), (("w",), Limit(10, 60.0))
    verdicts = [counters.hit("t", [tight, wide]) for _ in range(5)]
    assert [one.allowed for one in verdicts] == [True, False, False, False, False]
    assert counters.hit("t", [wide]).remaining == 8


def test_idle_counters_expire_and_their_number_is_bounded(clock: FakeClock) -> None:
    counters = RateCounters(clock, per_policy=50)
    flood(counters, 1000)
    assert len(counters) == 50
    clock.advance(61)
    for _ in range(60):
        counters.hit("evil", [(key("one"), Limit(500, 60.0))])
    assert len(counters) == 1


def test_made_up_callers_of_one_tenant_reset_no_count_of_another(clock: FakeClock) -> None:
    counters = RateCounters(clock, per_policy=50, per_tenant=100)
    use_up(counters, "acme", "mobile")
    for policy in ("p", "q", "r"):
        flood(counters, 1000, policy=policy)
    assert not counters.hit("acme", [(key("mobile"), FIVE)]).allowed
    assert counters.hit("acme", [(key("web"), FIVE)]).remaining == 4


@pytest.mark.parametrize("limit", [FIVE, Limit(5, 60.0, burst=5)])
def test_made_up_callers_of_an_api_reset_no_count_of_another_caller(
    clock: FakeClock, limit: Limit
) -> None:
    counters = RateCounters(clock, per_policy=50)
    use_up(counters, "acme", "early", limit)
    flood(counters, 1000, tenant="acme")
    use_up(counters, "acme", "late", limit)
    flood(counters, 1000, tenant="acme")
    for caller in ("early", "late"):
        assert not counters.hit("acme", [(key(caller), limit)]).allowed


def test_a_full_policy_leaves_the_others_of_its_tenant_exact(clock: FakeClock) -> None:
    counters = RateCounters(clock, per_policy=50, per_tenant=100)
    flood(counters, 5000, tenant="acme")
    assert [counters.hit("acme", [(key("a", "other"), FIVE)]).remaining for _ in range(2)] == [4, 3]
    tenants = {figures.tenant: figures for figures in counters.figures()}
    assert tenants["acme"].counters == 51
    assert tenants["acme"].shared_requests > 0


def test_who_shared_a_counter_begins_with_it_when_there_is_room(clock: FakeClock) -> None:
    counters = RateCounters(clock, per_policy=1)
    limit = Limit(5, 3600.0)
    counters.hit("acme", [(key("first"), FIVE)])
    use_up(counters, "acme", "second", limit)
    clock.advance(61)  # the first one's counter expires, so there is room
    for _ in range(8):
        counters.hit("acme", [(key("x", policy="other"), FIVE)])
    assert not counters.hit("acme", [(key("second"), limit)]).allowed


def test_shared_counters_are_dropped_when_they_expired(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    counters = RateCounters(clock, per_policy=1)
    flood(counters, 3)
    clock.advance(61)
    for _ in range(8):
        counters.hit("evil", [(key("x", policy="other"), FIVE)])
    flood(counters, 3)
    # It says so when it makes them, so it has made them twice.
    assert [record.args for record in caplog.records] == [("policy p api", "evil")] * 2


Step = tuple[str, int]
STEPS = st.lists(st.tuples(st.sampled_from("hhht"), st.integers(0, 20)), max_size=80)


@given(steps=STEPS, burst=st.sampled_from([None, 3]), room=st.integers(0, 6))
def test_no_caller_ever_has_more_than_with_a_table_that_holds_all(
    steps: list[Step], burst: int | None, room: int
) -> None:
    """What is shared may refuse early; in no window does it allow more than the limit."""
    clock = FakeClock()
    counters = RateCounters(clock, per_policy=room)
    limit = Limit(3, 60.0, burst)
    allowed: dict[int, list[float]] = {}
    for action, number in steps:
        if action == "t":
            clock.advance(number)
        elif counters.hit("t", [(key(number), limit)]).allowed:
            allowed.setdefault(number, []).append(clock.seconds)
    for times in allowed.values():
        for index, at in enumerate(times):
            # Twice the limit: two windows may meet in a minute, and a full bucket refills in one.
            assert sum(other < at + 60 for other in times[index:]) <= 6


SLIDING = Limit(5, 60.0, is_sliding=True)
gaps = st.lists(
    st.one_of(
        st.just(0.0), st.floats(0.0, 15.0), st.sampled_from([5.9, 6.0, 6.1, 59.9, 60.0, 66.0])
    ),
    max_size=80,
)


@given(gaps, st.integers(1, 6), st.booleans())
def test_a_sliding_window_never_admits_more_than_the_limit_in_any_span(
    pauses: list[float], requests: int, is_crowded: bool
) -> None:
    clock, admitted = FakeClock(), []
    limit = Limit(requests, 60.0, is_sliding=True)
    # Crowded, the caller shares a counter from the beginning.
    counters = RateCounters(clock, per_policy=1 if is_crowded else 50)
    if is_crowded:
        counters.hit("t", [(key("first"), Limit(1, 1e9))])
    for pause in pauses:
        clock.advance(pause)
        if counters.hit("t", [(key("caller"), limit)]).allowed:
            admitted.append(clock.monotonic())
    for index, start in enumerate(admitted):
        # Half a nanosecond for the rounding of sums of floats.
        within = [time for time in admitted[index:] if time - start < 60.0 - 5e-10]
        assert len(within) <= requests


@given(gaps, st.integers(1, 6))
def test_a_sliding_window_admits_what_the_last_window_and_a_tenth_leave(
    pauses: list[float], requests: int
) -> None:
    clock, admitted = FakeClock(), []
    limit, counters = Limit(requests, 60.0, is_sliding=True), RateCounters(clock)
    for pause in pauses:
        clock.advance(pause)
        now = clock.monotonic()
        recent = [time for time in admitted if now - time <= 66.0]
        result = counters.hit("t", [(key("caller"), limit)])
        if len(recent) < requests:
            assert result.allowed
        if result.allowed:
            admitted.append(now)
            assert result.remaining <= requests - 1


@given(gaps)
def test_after_what_a_refusal_says_a_sliding_window_admits_again(pauses: list[float]) -> None:
    clock, counters = FakeClock(), RateCounters(FakeClock())
    counters._clock = clock
    for pause in pauses:
        clock.advance(pause)
        use_up(counters, "t", "caller", SLIDING)
        refusal = counters.hit("t", [(key("caller"), SLIDING)])
        assert not refusal.allowed
        assert 0.0 < refusal.reset <= 66.0
        clock.advance(refusal.reset + 1e-6)
        assert counters.hit("t", [(key("caller"), SLIDING)]).allowed


def test_a_window_that_slides_gives_back_what_was_used_first(clock: FakeClock) -> None:
    counters = RateCounters(clock)
    clock.advance(2)  # to the beginning of a tenth
    for _ in range(5):
        assert counters.hit("t", [(key("c"), SLIDING)]).allowed
        clock.advance(6)
    # A fixed window would be empty at 60 s; this one gives back one with each tenth from 66 s on.
    verdicts = []
    for _ in range(6):
        verdicts.append([counters.hit("t", [(key("c"), SLIDING)]).allowed for _ in range(2)])
        clock.advance(36 if len(verdicts) == 1 else 6)
    assert verdicts == [[False, False], *[[True, False]] * 5]


def test_a_window_of_another_length_goes_on_with_the_count(clock: FakeClock) -> None:
    counters = RateCounters(clock)
    use_up(counters, "t", "c", SLIDING)
    longer = Limit(6, 600.0, is_sliding=True)
    assert [counters.hit("t", [(key("c"), longer)]).allowed for _ in range(2)] == [True, False]
    clock.advance(661)
    assert counters.hit("t", [(key("c"), longer)]).remaining == 5


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("hit", "repeat", "repeat", "flood", "begin")),
            st.sampled_from((0.0, 0.0, 1.0, 59.0, 61.0)),
            st.sampled_from((FIVE, Limit(2, 60.0), Limit(5, 10.0), Limit(5, 60.0, burst=2))),
        ),
        max_size=60,
    )
)
def test_repeated_hits_count_as_single_ones(steps: list[tuple[str, float, Limit]]) -> None:
    clock = FakeClock()
    repeated, single = (RateCounters(clock, per_policy=3) for _ in range(2))
    limit = FIVE
    repeat = repeated.repeat("evil", [(key("one"), limit)])
    for step, seconds, other in steps:
        clock.advance(seconds)
        if step == "flood":
            flood(repeated, 4)
            flood(single, 4)
        elif step == "begin":
            # A new table has new policies, whose counters are the same; the old one is not used.
            limit = other
            repeat = repeated.repeat("evil", [(key("one"), limit)])
        elif step == "hit":
            limits = [(key("one"), limit)]
            assert repeated.hit("evil", limits) == single.hit("evil", limits)
        else:
            assert repeat() == single.hit("evil", [(key("one"), limit)])
        assert len(repeated) == len(single)
