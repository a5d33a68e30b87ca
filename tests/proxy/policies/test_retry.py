"""`retry` on the real engine: what is tried again, how often, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.retries import RetryBudgets
from stoa_proxy.policies import POLICIES
from stoa_proxy.policies.retry import Retry

from tests.laws import examples
from tests.proxy.conftest import Api, FakeClock, Upstream, expire_calls, running
from tests.proxy.raw import read_head, serving

Start = Callable[..., Awaitable[Upstream]]


class Flaky:
    """Answers with each status in turn, the last of them for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.bodies.append(await request.read())
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, text=str(status))


async def test_a_status_that_is_named_is_tried_again(api: Api, start_upstream: Start) -> None:
    upstream = await start_upstream(Flaky(503, 503, 200).answer)
    await api.route(upstream.url)
    await api.policy("retry", {"attempts": 3, "on": [503], "backoff": "1ms"})
    answer = await api.get("/a/x?y=1")
    assert (answer.status, await answer.text()) == (200, "200")
    assert [seen.target for seen in upstream.seen] == ["/x?y=1"] * 3


@pytest.mark.parametrize(
    ("on", "status", "calls"),
    [
        ([503], 500, 1),
        (["5xx"], 500, 3),
        (["5xx"], 599, 3),
        (["5xx"], 429, 1),
        (["5xx", 429], 429, 3),
        (["connect", "timeout"], 503, 1),
        ([], 503, 1),
    ],
)
async def test_attempts_end_with_the_response_that_came_last(
    api: Api, start_upstream: Start, on: list[Any], status: int, calls: int
) -> None:
    upstream = await start_upstream(Flaky(status).answer)
    await api.route(upstream.url)
    await api.policy("retry", {"attempts": 3, "on": on, "backoff": "1ms"})
    assert (await api.get("/a/x")).status == status
    assert len(upstream.seen) == calls


@pytest.mark.parametrize(
    ("method", "calls"), [("PUT", 3), ("DELETE", 3), ("POST", 1), ("PATCH", 1)]
)
async def test_only_idempotent_requests_are_tried_again_with_their_body(
    api: Api, start_upstream: Start, method: str, calls: int
) -> None:
    flaky = Flaky(503)
    await api.route((await start_upstream(flaky.answer)).url)
    await api.policy("retry", {"attempts": 3, "on": ["5xx"], "backoff": "1ms"})
    assert (await api.send(method, "/a/x", data=b"the body")).status == 503
    assert flaky.bodies == [b"the body"] * calls


async def test_methods_that_the_policy_names_are_tried_again_and_no_others(
    api: Api, start_upstream: Start
) -> None:
    flaky = Flaky(503)
    await api.route((await start_upstream(flaky.answer)).url)
    await api.policy("retry", {"attempts": 2, "on": ["5xx"], "backoff": "1ms", "methods": ["post"]})
    assert (await api.send("POST", "/a/x", data=b"b")).status == 503
    assert (await api.get("/a/x")).status == 503
    assert flaky.bodies == [b"b", b"b", b""]


async def test_a_body_that_is_too_large_to_be_kept_is_sent_once(
    api: Api, start_upstream: Start
) -> None:
    flaky = Flaky(503)
    await api.route((await start_upstream(flaky.answer)).url)
    await api.policy("retry", {"attempts": 3, "on": ["5xx"], "backoff": "1ms"})
    assert (await api.send("PUT", "/a/x", data=b"x" * 200_000)).status == 503
    assert [len(body) for body in flaky.bodies] == [200_000]


async def test_nothing_is_tried_again_once_a_response_has_begun(api: Api) -> None:
    calls = 0

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        await read_head(reader)
        calls += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    async with serving(break_off) as url:
        await api.route(url)
        await api.policy("retry", {"attempts": 5, "on": ["connect", "timeout", "5xx"]})
        with pytest.raises(aiohttp.ClientError):
            await api.get("/a/x")
    assert calls == 1


async def test_a_timeout_is_tried_again_each_time_with_the_time_of_the_route(
    start_upstream: Start, clock: FakeClock
) -> None:
    calls, hanging = 0, asyncio.Semaphore(0)

    async def hang_twice(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls < 3:
            hanging.release()
            await asyncio.Event().wait()
        return web.Response(text="at last")

    upstream = await start_upstream(hang_twice)
    async with running(clock=clock) as api:
        await api.route(upstream.url, timeout_ms=600_000)
        await api.policy("retry", {"attempts": 3, "on": ["timeout"], "backoff": "0s"})
        answer = asyncio.create_task(api.get("/a/x"))
        for _ in range(2):
            await hanging.acquire()
            expire_calls(api)
        assert (await (await answer).text()) == "at last"
        await api.policy("retry", {"attempts": 3, "on": ["connect"], "backoff": "0s"})
        calls = 1
        answer = asyncio.create_task(api.get("/a/x"))
        await hanging.acquire()
        expire_calls(api)
        assert (await answer).status == 504
    assert calls == 2


async def test_the_budget_of_an_api_bounds_its_retries_and_not_those_of_others(
    api: Api, clock: FakeClock, start_upstream: Start
) -> None:
    upstream = await start_upstream(Flaky(503).answer)
    for api_id, prefix in (("r1", "/a"), ("r2", "/b")):
        await api.route(upstream.url, prefix, id=api_id)
        await api.policy("retry", {"attempts": 10, "on": ["5xx"], "backoff": "1ms"}, api_id)
    for _ in range(40):
        assert (await api.get("/a/x")).status == 503
    # 10 to begin with, and a fifth of 40 requests.
    assert len(upstream.seen) == 40 + 18
    metrics = await (await api.get("/metrics")).text()
    assert 'stoa_upstream_retries_total{result="made"} 18' in metrics
    assert (await api.get("/b/x")).status == 503
    assert len(upstream.seen) == 58 + 10
    clock.advance(5)
    assert (await api.get("/a/x")).status == 503
    assert len(upstream.seen) == 68 + 6


async def test_an_open_circuit_ends_the_attempts(api: Api, start_upstream: Start) -> None:
    upstream = await start_upstream(Flaky(503).answer)
    await api.route(upstream.url)
    await api.policy("retry", {"attempts": 8, "on": ["5xx"], "backoff": "1ms"})
    await api.policy("circuit_breaker", {"failures": 3, "window": "1m", "reset": "1m"})
    assert (await api.get("/a/x")).status == 503
    assert len(upstream.seen) == 3


async def test_a_fallback_follows_when_the_attempts_are_used_up(
    api: Api, upstream: Upstream, start_upstream: Start
) -> None:
    failing = await start_upstream(Flaky(500).answer)
    await api.route(failing.url, fallback_url=upstream.url)
    await api.policy("retry", {"attempts": 2, "on": ["5xx"], "backoff": "1ms"})
    answer = await api.get("/a/x")
    assert (answer.status, answer.headers["X-Stoa-Fallback"]) == (200, "status-500")
    assert (len(failing.seen), len(upstream.seen)) == (2, 1)


@examples(300)
@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 5), st.integers(0, 20)), max_size=30))
def test_retries_are_a_fifth_of_the_requests_and_one_a_second_at_most(
    steps: list[tuple[int, float, int]],
) -> None:
    clock = FakeClock()
    budgets = RetryBudgets(clock)
    requests = made = 0
    for count, seconds, wanted in steps:
        clock.advance(seconds)
        for _ in range(count):
            budgets.deposit("a")
            requests += 1
        made += sum(budgets.withdraw("a") for _ in range(wanted))
        passed = clock.monotonic() - 1000.0
        assert made <= 10 + 0.2 * requests + passed + 1e-6


def test_budgets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stoa_proxy.core.retries._MAX_APIS", 5)
    budgets = RetryBudgets(FakeClock())
    for number in range(50):
        budgets.deposit(str(number))
    assert len(budgets._left) == 5


def test_conditions_are_texts_or_numbers() -> None:
    policy = POLICIES.parse("retry", "p", {"attempts": 2, "on": ["502", 503, "timeout"]})
    assert isinstance(policy, Retry)
    assert policy.rules.statuses == {502, 503}
    assert policy.rules.reasons == {"timeout"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "config.attempts"),
        ({"attempts": 11}, "config.attempts"),
        ({"attempts": 2, "on": ["200"]}, "config.on"),
        ({"attempts": 2, "on": ["4xx"]}, "config.on"),
        ({"attempts": 2, "on": [True]}, "config.on"),
        ({"attempts": 2, "on": "5xx"}, "config.on"),
        ({"attempts": 2, "backoff": "11s"}, "config.backoff"),
        ({"attempts": 2, "methods": ["a b"]}, "config.methods"),
    ],
    ids=str,
)
def test_a_config_that_cannot_work_is_refused_with_its_key(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        POLICIES.parse("retry", "p", config)
