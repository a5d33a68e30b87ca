"""Laws of sharing requests out among backends, and of what is known of their health."""

from __future__ import annotations

from collections import Counter
from math import gcd

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.backend import Backend
from stoa_proxy.core.backend_health import BackendHealth, Owner, Probed
from stoa_proxy.core.balancers import Balancers
from stoa_proxy.core.balancing import (
    ALGORITHMS,
    ActiveCheck,
    Algorithm,
    Balancing,
    Cycle,
    PassiveCheck,
    WeightedBackend,
    choose,
)
from stoa_proxy.core.model import Route
from stoa_proxy.errors import UpstreamFailed

from tests.laws import examples
from tests.proxy.conftest import FakeClock

weights = st.lists(st.integers(1, 40), min_size=2, max_size=6)


def backend(number: int) -> Backend:
    return Backend("http", f"b{number}", 80, "", "")


def balancing(given_weights: list[int], algorithm: Algorithm = "weighted") -> Balancing:
    targets = (WeightedBackend(backend(n), weight) for n, weight in enumerate(given_weights))
    return Balancing(tuple(targets), algorithm)


def route(value: Balancing, route_id: str = "r1") -> Route:
    return Route(route_id, "n", "acme", "a1", ("a",), value.first, balancing=value)


def no_load(index: int) -> int:
    return 0


def no_chance() -> float:
    raise AssertionError("nothing is drawn")


@examples(200)
@given(weights, st.integers(1, 3))
def test_over_a_cycle_each_backend_gets_exactly_its_weight(
    given_weights: list[int], rounds: int
) -> None:
    cycle, indices = Cycle(len(given_weights)), range(len(given_weights))
    size = sum(given_weights) // gcd(*given_weights)
    for _ in range(rounds):
        got = Counter(
            choose("weighted", indices, given_weights, cycle, no_load, no_chance)
            for _ in range(size)
        )
        assert [got[index] for index in indices] == [
            weight // gcd(*given_weights) for weight in given_weights
        ]
        assert cycle.owed == [0] * len(given_weights)


@examples(200)
@given(weights, st.integers(1, 200))
def test_at_any_moment_each_is_within_one_turn_of_its_share(
    given_weights: list[int], count: int
) -> None:
    cycle, indices = Cycle(len(given_weights)), range(len(given_weights))
    got = Counter(
        choose("weighted", indices, given_weights, cycle, no_load, no_chance) for _ in range(count)
    )
    for index, weight in enumerate(given_weights):
        share = count * weight / sum(given_weights)
        assert abs(got[index] - share) <= len(given_weights)


@examples(100)
@given(
    weights,
    st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=60),
    st.sampled_from(["weighted", "round_robin"]),
)
def test_whoever_is_left_out_for_a_while_is_owed_no_burst(
    given_weights: list[int], left_out: list[set[int]], algorithm: Algorithm
) -> None:
    cycle, total = Cycle(len(given_weights)), sum(given_weights)
    for out in left_out:
        indices = [index for index in range(len(given_weights)) if index not in out]
        if not indices:
            continue
        assert choose(algorithm, indices, given_weights, cycle, no_load, no_chance) in indices
        assert sum(cycle.owed) == 0
        assert all(-total <= owed <= total for owed in cycle.owed)


@examples(200)
@given(weights, st.lists(st.integers(0, 50), min_size=6, max_size=6))
def test_the_least_loaded_for_its_weight_is_chosen(
    given_weights: list[int], loads: list[int]
) -> None:
    indices = range(len(given_weights))
    found = choose(
        "least_conn",
        indices,
        given_weights,
        Cycle(len(given_weights)),
        loads.__getitem__,
        no_chance,
    )
    share = (loads[found] + 1) / given_weights[found]
    assert share == min((loads[i] + 1) / given_weights[i] for i in indices)


def test_idle_backends_have_their_turn_by_least_connections() -> None:
    cycle = Cycle(3)
    got = [choose("least_conn", range(3), [1, 1, 1], cycle, no_load, no_chance) for _ in range(6)]
    assert Counter(got) == {0: 2, 1: 2, 2: 2}


@examples(100)
@given(weights, st.integers(0, 10_000))
def test_chance_gives_each_the_part_of_the_line_that_it_weighs(
    given_weights: list[int], step: int
) -> None:
    total = sum(given_weights)
    point = step / 10_001
    found = choose(
        "random", range(len(given_weights)), given_weights, Cycle(9), no_load, lambda: point
    )
    before = sum(given_weights[:found])
    assert before <= point * total <= before + given_weights[found]


@examples(50)
@given(st.sampled_from(ALGORITHMS), st.lists(st.integers(0, 3), min_size=2, max_size=5))
def test_a_backend_without_weight_gets_nothing(
    algorithm: Algorithm, given_weights: list[int]
) -> None:
    value = balancing([*given_weights, 1], algorithm)
    usable = [index for index, weight in enumerate(value.weights) if weight]
    assert all(value.targets[index].weight for index in usable)
    assert value.targets[usable[0]].backend == value.first
    if algorithm == "round_robin":
        assert set(value.weights) <= {0, 1}


def test_the_turn_stays_over_a_swap_while_the_backends_stay(clock: FakeClock) -> None:
    balancers = Balancers(clock)
    first = route(balancing([3, 1]))
    taken = [balancers.select(first, balancers.of(first, balancing([3, 1])), [0, 1])]
    for _ in range(7):
        # A table of the next commit: an equal value, and another object.
        again = balancing([3, 1])
        taken.append(balancers.select(first, balancers.of(route(again), again), [0, 1]))
    assert Counter(taken) == {0: 6, 1: 2}
    checked = Balancing(again.targets, again.algorithm, ActiveCheck("/up"))
    balancer = balancers.of(route(checked), checked)
    assert balancer.selections[0] == 6
    other = balancing([1, 3])
    assert balancers.of(route(other), other).cycle.owed == [0, 0]


A1, A2 = Owner("acme", "a1"), Owner("acme", "a2")


def test_a_tenant_whose_backends_all_fail_brings_back_none_of_others(clock: FakeClock) -> None:
    health, check = BackendHealth(clock), PassiveCheck(1, 30.0)
    health.note_outcome(A1, backend(0), check, 500)
    for number in range(20_000):
        health.note_outcome(Owner("evil", f"e{number}"), backend(0), check, 500)
    assert not health.is_well(A1, None, backend(0))
    assert health.is_well(Owner("evil", "e0"), None, backend(0)), "what is kept is bounded"
    assert not health.is_well(Owner("evil", "e19999"), None, backend(0))


def test_failures_in_a_row_eject_and_the_next_one_after_that_again(clock: FakeClock) -> None:
    health, check = BackendHealth(clock), PassiveCheck(3, 30.0)

    def note(outcome: UpstreamFailed | int | None) -> bool:
        health.note_outcome(A1, backend(0), check, outcome)
        return health.is_well(A1, None, backend(0))

    assert note(500)
    assert note(UpstreamFailed("timeout"))
    assert note(404)  # a success: they were not in a row
    assert note(503)
    assert note(UpstreamFailed("unreachable"))
    assert note(None)  # the client left: nothing is learnt
    assert note(UpstreamFailed("denied"))  # nor where the gateway itself refused
    assert not note(502)
    assert health.is_well(A2, None, backend(0)), "another API has its own experience"
    clock.advance(29.9)
    assert not health.is_well(A1, None, backend(0))
    clock.advance(0.2)
    assert health.is_well(A1, None, backend(0))
    assert not note(500)
    clock.advance(31)
    assert note(200)
    assert note(500)
    assert health.figures(A1, None, backend(0)).failures == 1


def test_no_failures_eject_where_that_is_off(clock: FakeClock) -> None:
    health = BackendHealth(clock)
    for _ in range(100):
        health.note_outcome(A1, backend(0), PassiveCheck(0, 30.0), 500)
    assert health.is_well(A1, None, backend(0))


@examples(100)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_a_verdict_changes_after_so_many_results_in_a_row(
    results: list[bool], healthy: int, unhealthy: int
) -> None:
    check = ActiveCheck("/up", healthy=healthy, unhealthy=unhealthy)
    probed, health = Probed("acme", backend(0), check), BackendHealth(FakeClock())
    health.watch([probed])
    is_healthy, row = True, 0
    for good in results:
        row = 0 if good is is_healthy else row + 1
        if row == (healthy if good else unhealthy):
            is_healthy, row = good, 0
        health.note_check(probed, "" if good else "it responds with 500")
        assert health.is_well(A1, probed, backend(0)) is is_healthy
    health.watch([])
    assert health.is_well(A1, probed, backend(0)), "what nobody checks is well"
    assert not health.note_check(probed, "late")
