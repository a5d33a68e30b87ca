"""Error rates between heartbeats, and processes that share a host name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.fleet.health import (
    ErrorRules,
    ErrorTracker,
    Figures,
    GatewayStatus,
    StartTracker,
    status_of_checks,
)


def beats(*totals: tuple[int | None, float | None], rules: ErrorRules | None = None) -> list[bool]:
    """Return whether a gateway is degraded after each of these (requests, error rate)."""
    tracker, seen = ErrorTracker(), []
    for number, (requests, rate) in enumerate(totals):
        tracker.take(
            Figures(30 * number, requests=requests, error_rate=rate), rules or ErrorRules()
        )
        seen.append(tracker.is_degraded)
    return seen


def test_the_rate_is_that_between_two_heartbeats() -> None:
    # In all 1 % have failed; of the last hundred requests ten have.
    assert beats((1000, 0.0), (1100, 10 / 1100), (1200, 10 / 1200)) == [False, True, False]


def test_the_first_heartbeat_is_compared_with_nothing() -> None:
    assert beats((100, 0.06)) == [True]


def test_exactly_the_threshold_is_not_over_it() -> None:
    assert beats((100, 0.05), (200, 0.05)) == [False, False]


@pytest.mark.parametrize("quiet", [(100, 0.5), (None, None), (None, 0.0), (100, None)])
def test_a_heartbeat_without_new_requests_keeps_the_state(
    quiet: tuple[int | None, float | None],
) -> None:
    assert beats((100, 0.5), quiet, quiet) == [True, True, True]


def test_a_gateway_that_started_anew_counts_from_zero() -> None:
    assert beats((1000, 0.0), (10, 0.5), (20, 0.25)) == [False, True, False]


def test_a_wider_window_and_a_slower_recovery() -> None:
    rules = ErrorRules(above=0.05, window=2, recovery=2)
    # The second pair has 6 of 100, but the window of both has 6 of 200.
    assert beats((100, 0.0), (200, 6 / 200), rules=rules) == [False, False]
    calm = [(200 + 100 * step, 50 / (200 + 100 * step)) for step in range(5)]
    assert beats((100, 0.0), *calm, rules=rules) == [False, True, True, True, False, False]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_a_gateway_is_degraded_exactly_while_more_than_one_in_twenty_fails(
    steps: list[tuple[int, int]],
) -> None:
    tracker, requests, failed, expected = ErrorTracker(), 0, 0, False
    for good, bad in steps:
        requests, failed = requests + good + bad, failed + bad
        if good + bad:
            expected = bad / (good + bad) > 0.05 + 1e-9 or (
                tracker.is_degraded and abs(bad / (good + bad) - 0.05) <= 1e-9
            )
        rate = failed / requests if requests else 0.0
        tracker.take(Figures(0, requests=requests, error_rate=rate))
        if good + bad and abs(bad / (good + bad) - 0.05) <= 1e-9:
            continue  # on the line itself a rounding decides
        assert tracker.is_degraded is expected


@given(
    st.lists(
        st.tuples(st.integers(0, 2**63), st.floats(0, 1)),
        max_size=10,
    )
)
def test_a_rate_is_a_share_whatever_is_sent(totals: list[tuple[int, float]]) -> None:
    tracker = ErrorTracker()
    for requests, rate in totals:
        tracker.take(Figures(0, requests=requests, error_rate=rate))
        assert tracker.rate is None or 0 <= tracker.rate <= 1


def test_one_process_shares_its_name_with_nobody() -> None:
    starts = StartTracker()
    for second in range(0, 600, 30):
        starts.take(float(second), 1000.0 + second + (second % 4) / 4)
    assert not starts.is_shared(1600.0, 180.0)


def test_restarts_are_no_second_process() -> None:
    starts, now = StartTracker(), 0.0
    for _ in range(20):  # it flaps: two heartbeats, and a new start
        for uptime in (0.0, 5.0):
            starts.take(uptime, now + uptime)
        now += 8.0
    assert not starts.is_shared(now, 180.0)


def test_a_heartbeat_that_was_late_is_no_second_process() -> None:
    starts = StartTracker()
    for second, late in ((0, 0), (30, 8), (60, 0), (90, 0), (120, 0)):
        starts.take(float(second), 1000.0 + second + late)
    assert not starts.is_shared(1120.0, 180.0)


def test_two_processes_that_take_turns_are_noticed_and_forgotten_again() -> None:
    starts = StartTracker()
    for second in range(0, 150, 30):
        starts.take(float(second), 1000.0 + second)
        starts.take(second + 500.0, 1010.0 + second)
    assert starts.is_shared(1130.0, 180.0)
    for second in range(150, 450, 30):
        starts.take(float(second), 1000.0 + second)
    assert not starts.is_shared(1450.0, 180.0)


def test_the_status_of_a_gateway_that_sends_no_heartbeats() -> None:
    reachable: tuple[bool | None, ...] = (True, False, None)
    assert [status_of_checks(is_reachable=one) for one in reachable] == [
        GatewayStatus.ONLINE,
        GatewayStatus.OFFLINE,
        GatewayStatus.OFFLINE,
    ]
