"""Retries and fallback of one request: what comes after each outcome, and what never does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.attempts import PASS_ON, Attempt, Attempts, Step
from stoa_proxy.core.backend import Backend, parse_upstream
from stoa_proxy.core.balancing import Balancing, PassiveCheck, WeightedBackend
from stoa_proxy.core.exchange import Echo, Forward
from stoa_proxy.core.model import Route
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.pipeline.decide import Pipeline

from tests.proxy.conftest import FakeClock

FALLBACKS = (None, "http://fallback.test", "builtin:echo")
REASONS = ("unreachable", "no-answer", "bad-answer", "denied", "timeout")
RETRIED = REASONS[:3]
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")


@dataclass
class Body:
    """A request's body as an engine holds it."""

    is_repeatable: bool = True
    refusal: Respond | None = None


@dataclass
class Request:
    """One request on its way: the pipeline's decision and the attempts behind it."""

    attempts: Attempts
    decision: Forward
    body: Body | None

    def start(self) -> Attempt:
        step = self.attempts.start(self.decision)
        assert isinstance(step, Attempt)
        return step

    def next(self, outcome: int | str, *, was_reused: bool = False) -> Step:
        if isinstance(outcome, int):
            return self.attempts.next(outcome)
        return self.attempts.next(UpstreamFailed(outcome, was_reused=was_reused))


def make_request(
    retries: int = 0,
    fallback: str | None = None,
    method: str = "GET",
    *,
    has_body: bool = False,
    jitter: float = 0.5,
) -> Request:
    guard = AddressGuard()
    backend = parse_upstream("http://backend.test", guard)
    route = Route(
        "r1",
        "r1",
        "acme",
        "r1",
        (),
        backend,
        retries=retries,
        fallback=None if fallback is None else parse_upstream(fallback, guard),
    )
    pipeline = Pipeline(FakeClock())
    head = RequestHead(
        method, "/x", (("Host", "h.test"),), ("host",), "192.0.2.1", has_body=has_body
    )
    decision = pipeline.decide(head, RoutingTable.from_routes([route]))
    assert isinstance(decision, Forward)
    body = Body() if has_body else None
    return Request(Attempts(pipeline, body, lambda: jitter), decision, body)


def target_of(step: Step) -> str:
    assert isinstance(step, Attempt)
    return step.forward.target.host


def test_a_response_is_passed_on() -> None:
    request = make_request(retries=3)
    request.start()
    assert request.next(200) is PASS_ON


@pytest.mark.parametrize("reason", RETRIED)
def test_a_retry_follows_a_failure_until_retries_are_used_up(reason: str) -> None:
    request = make_request(retries=2)
    first = request.start()
    steps = [request.next(reason) for _ in range(3)]
    assert [isinstance(step, Attempt) and step.is_retry for step in steps] == [True, True, False]
    assert [step.forward for step in steps[:2] if isinstance(step, Attempt)] == [first.forward] * 2
    assert isinstance(steps[2], Respond)
    assert steps[2].status == 502


@pytest.mark.parametrize(("reason", "status"), [("denied", 502), ("timeout", 504)])
def test_a_refused_address_and_used_up_time_are_not_retried(reason: str, status: int) -> None:
    request = make_request(retries=5)
    request.start()
    step = request.next(reason)
    assert isinstance(step, Respond)
    assert step.status == status


def test_pauses_double_up_to_a_second_with_half_of_each_drawn() -> None:
    pauses = {}
    for jitter in (0.0, 1.0):
        request = make_request(retries=7, jitter=jitter)
        assert request.start().pause == 0.0
        steps = [request.next("unreachable") for _ in range(7)]
        pauses[jitter] = [step.pause for step in steps if isinstance(step, Attempt)]
    assert pauses[1.0] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert pauses[0.0] == [pause / 2 for pause in pauses[1.0]]


def test_a_stale_connection_is_replaced_once_at_once_and_beside_the_retries() -> None:
    request = make_request(retries=0)
    first = request.start()
    assert request.next("no-answer", was_reused=True) == Attempt(first.forward, 0.0, True)
    assert isinstance(request.next("no-answer", was_reused=True), Respond)


def test_a_stale_connection_is_not_replaced_for_a_request_that_is_not_repeatable() -> None:
    request = make_request(method="POST")
    request.start()
    assert isinstance(request.next("no-answer", was_reused=True), Respond)


@pytest.mark.parametrize("status", [401, 429, 500, 503, 599])
def test_a_status_that_is_documented_falls_back_once(status: int) -> None:
    request = make_request(fallback="http://fallback.test")
    assert target_of(request.start()) == "backend.test"
    step = request.next(status)
    assert target_of(step) == "fallback.test"
    assert isinstance(step, Attempt)
    assert not step.is_retry
    assert step.forward.context.fallback_reason == f"status-{status}"
    assert request.next(status) is PASS_ON


@pytest.mark.parametrize("status", [101, 200, 304, 400, 403, 404, 499])
def test_no_other_status_falls_back(status: int) -> None:
    request = make_request(fallback="http://fallback.test")
    request.start()
    assert request.next(status) is PASS_ON


@pytest.mark.parametrize("reason", REASONS)
def test_a_failure_falls_back_with_its_reason(reason: str) -> None:
    request = make_request(fallback="http://fallback.test")
    request.start()
    step = request.next(reason)
    assert target_of(step) == "fallback.test"
    assert isinstance(step, Attempt)
    assert step.forward.context.fallback_reason == reason


def test_a_fallback_may_be_the_echo() -> None:
    request = make_request(fallback="builtin:echo")
    request.start()
    assert isinstance(request.next(500), Echo)


def test_a_consumed_body_is_not_sent_to_the_fallback() -> None:
    request = make_request(fallback="http://fallback.test", method="POST", has_body=True)
    request.start()
    assert request.body is not None
    request.body.is_repeatable = False
    assert request.next(500) is PASS_ON
    assert isinstance(request.next("no-answer"), Respond)


def test_a_refused_body_is_what_the_client_is_told() -> None:
    request = make_request(fallback="http://fallback.test", method="POST", has_body=True)
    request.start()
    assert request.body is not None
    request.body.is_repeatable = False
    request.body.refusal = problem(413, "Content too large")
    step = request.next("no-answer")
    assert isinstance(step, Respond)
    assert step.status == 413


OUTCOMES = st.lists(
    st.one_of(
        st.sampled_from([200, 401, 404, 429, 500]),
        st.tuples(st.sampled_from(REASONS), st.booleans()),
    ),
    max_size=40,
)


@given(
    retries=st.integers(0, 10),
    fallback=st.sampled_from(FALLBACKS),
    method=st.sampled_from([*IDEMPOTENT, "POST", "PATCH"]),
    has_body=st.booleans(),
    consumed_after=st.integers(0, 5),
    outcomes=OUTCOMES,
)
def test_whatever_upstreams_do_the_bounds_hold(
    retries: int,
    fallback: str | None,
    method: str,
    has_body: bool,
    consumed_after: int,
    outcomes: list[Any],
) -> None:
    request = make_request(retries, fallback, method, has_body=has_body)
    is_repeatable = method in IDEMPOTENT and not has_body
    step: Step = request.start()
    attempts = [step]
    for number, outcome in enumerate(outcomes):
        if not isinstance(step, Attempt):
            break
        was_consumed = False
        if request.body is not None and number >= consumed_after:
            request.body.is_repeatable = False
            was_consumed = True
        if isinstance(outcome, int):
            step = request.next(outcome)
        else:
            step = request.next(outcome[0], was_reused=outcome[1])
        if isinstance(step, Attempt):
            assert not was_consumed
            assert 0.0 <= step.pause <= 1.0
            assert not step.is_retry or is_repeatable
            assert not step.is_retry or step.forward is attempts[-1].forward  # type: ignore[union-attr]
            attempts.append(step)
        elif step is PASS_ON:
            assert isinstance(outcome, int)
    per_target: dict[str, int] = {}
    for attempt in attempts:
        per_target[target_of(attempt)] = per_target.get(target_of(attempt), 0) + 1
    most = retries + 2 if is_repeatable else 1
    assert all(count <= most for count in per_target.values())
    assert len([one for one in attempts if isinstance(one, Attempt) and not one.is_retry]) <= 2
    assert set(per_target) <= {"backend.test"} | ({"fallback.test"} if fallback else set())


HOSTS = ("a.test", "b.test", "c.test")


def balanced_request(retries: int, method: str, *, with_fallback: bool) -> Request:
    guard = AddressGuard()
    targets = [parse_upstream(f"http://{host}", guard) for host in HOSTS]
    balancing = Balancing(
        tuple(WeightedBackend(one) for one in targets if isinstance(one, Backend)),
        passive=PassiveCheck(0),
    )
    route = Route(
        "r1", "r1", "acme", "r1", (), balancing.first, retries=retries, balancing=balancing,
        fallback=parse_upstream("http://fallback.test", guard) if with_fallback else None,
    )  # fmt: skip
    pipeline = Pipeline(FakeClock())
    head = RequestHead(method, "/x", (("Host", "h.test"),), ("host",), "192.0.2.1")
    decision = pipeline.decide(head, RoutingTable.from_routes([route]))
    assert isinstance(decision, Forward)
    return Request(Attempts(pipeline, None, lambda: 0.5), decision, None)


@given(
    st.integers(0, 4),
    st.sampled_from(["GET", "POST"]),
    st.booleans(),
    st.lists(st.sampled_from([*REASONS, 200, 500, 503]), min_size=12, max_size=12),
)
def test_of_several_backends_each_attempt_asks_one_that_was_not_asked(
    retries: int, method: str, with_fallback: bool, outcomes: list[Any]
) -> None:
    request = balanced_request(retries, method, with_fallback=with_fallback)
    asked: list[str] = []
    unsent = 0
    step: Step = request.start()
    for outcome in outcomes:
        if not isinstance(step, Attempt):
            break
        asked.append(target_of(step))
        unsent += outcome == "unreachable"
        step = request.next(outcome)
    of_backends = [host for host in asked if host != "fallback.test"]
    # Nobody is asked a second time before everybody was asked once.
    assert len(set(of_backends[: len(HOSTS)])) == min(len(of_backends), len(HOSTS))
    # What never went out is tried elsewhere; the rest has its retries, and a POST has none.
    most = (retries if method == "GET" else 0) + min(unsent, len(HOSTS) - 1)
    assert len(of_backends) <= 1 + most
    assert len(asked) - len(of_backends) <= with_fallback * (1 + retries)
    if asked[-1] == "fallback.test":
        assert with_fallback


def test_what_could_not_connect_goes_on_at_once_and_what_was_sent_waits() -> None:
    request = balanced_request(1, "GET", with_fallback=False)
    request.start()
    elsewhere = request.next("unreachable")
    assert isinstance(elsewhere, Attempt)
    assert (elsewhere.pause, elsewhere.is_retry) == (0.0, False)
    again = request.next("no-answer")
    assert isinstance(again, Attempt)
    assert again.pause > 0
    assert isinstance(request.next("no-answer"), Respond)
