"""`circuit_breaker` on the real engine, and its laws."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from stoa_proxy.core.circuit_breakers import BreakerKey, BreakerRules, CircuitBreakers
from stoa_proxy.policies import POLICIES

from tests.laws import examples
from tests.proxy.conftest import Api, FakeClock, Upstream

Start = Callable[..., Awaitable[Upstream]]
CONFIG = {"failures": 3, "window": "10s", "reset": "30s"}
KEY = BreakerKey("p", "a", "http://b:80")


class Backend:
    """Answers with `status`, after `gate`."""

    def __init__(self) -> None:
        self.status = 500
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        return web.Response(status=self.status)


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def guarded(api: Api, backend: Backend, start_upstream: Start) -> tuple[Api, Upstream]:
    upstream = await start_upstream(backend.answer)
    await api.route(upstream.url)
    await api.policy("circuit_breaker", CONFIG)
    return api, upstream


async def statuses(api: Api, count: int) -> list[int]:
    return [(await api.get("/a/x")).status for _ in range(count)]


async def test_it_opens_after_so_many_failures_and_keeps_requests_from_the_backend(
    guarded: tuple[Api, Upstream], clock: FakeClock
) -> None:
    api, upstream = guarded
    assert await statuses(api, 3) == [500] * 3
    clock.advance(4.5)
    answer = await api.get("/a/x")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "26")
    assert (await answer.json())["type"] == "urn:stoa:problem:circuit-open"
    assert len(upstream.seen) == 3
    metrics = await (await api.get("/metrics")).text()
    assert 'stoa_circuit_breaker_state{state="open"} 1' in metrics
    assert "stoa_circuit_breaker_rejections_total 1" in metrics


async def test_two_good_responses_close_it_and_one_bad_one_opens_it_again(
    guarded: tuple[Api, Upstream], clock: FakeClock, backend: Backend
) -> None:
    api, _ = guarded
    await statuses(api, 3)
    clock.advance(30)
    assert await statuses(api, 2) == [500, 503]
    clock.advance(30)
    backend.status = 200
    assert await statuses(api, 2) == [200, 200]
    backend.status = 500
    # Closed again: what failed before counts no more.
    assert await statuses(api, 2) == [500, 500]
    backend.status = 200
    assert await statuses(api, 1) == [200]


async def test_half_open_it_lets_one_request_through_at_a_time(
    guarded: tuple[Api, Upstream], clock: FakeClock, backend: Backend
) -> None:
    api, _ = guarded
    await statuses(api, 3)
    clock.advance(30)
    backend.status, backend.gate = 200, asyncio.Event()
    backend.begun.clear()
    first = asyncio.create_task(api.get("/a/x"))
    await asyncio.wait_for(backend.begun.wait(), 30)
    assert await statuses(api, 3) == [503] * 3
    backend.gate.set()
    assert (await first).status == 200
    assert await statuses(api, 2) == [200, 200]


async def test_a_client_that_leaves_half_open_does_not_keep_it_half_open_for_ever(
    guarded: tuple[Api, Upstream], clock: FakeClock, backend: Backend
) -> None:
    api, _ = guarded
    await statuses(api, 3)
    clock.advance(30)
    backend.status, backend.gate = 200, asyncio.Event()
    backend.begun.clear()
    first = asyncio.create_task(api.get("/a/x"))
    await asyncio.wait_for(backend.begun.wait(), 30)
    first.cancel()
    backend.gate = None  # the backend never answers the first
    async with asyncio.timeout(30):
        # No time passes: whoever comes and goes would keep the backend from everybody.
        while await statuses(api, 1) == [503]:
            await asyncio.sleep(0)
    assert await statuses(api, 2) == [200] * 2


async def test_a_request_half_open_that_is_lost_keeps_it_so_for_a_bounded_time(
    clock: FakeClock,
) -> None:
    breakers, rules = CircuitBreakers(clock), BreakerRules(1, 10.0, 30.0)
    breakers.note(KEY, rules, is_failure=True)
    clock.advance(30)
    assert breakers.refuse(KEY, rules, 35.0) is None
    lost = breakers.probe_until(KEY)
    assert breakers.refuse(KEY, rules, 35.0) == 35.0
    clock.advance(35)
    assert breakers.refuse(KEY, rules, 35.0) is None
    breakers.release(KEY, lost)  # its end is not that of the next one
    assert breakers.refuse(KEY, rules, 35.0) == 35.0
    breakers.release(KEY, breakers.probe_until(KEY))
    assert breakers.refuse(KEY, rules, 35.0) is None


@pytest.mark.parametrize("status", [400, 401, 404, 429, 499])
async def test_what_a_client_did_wrong_is_no_failure(
    guarded: tuple[Api, Upstream], backend: Backend, status: int
) -> None:
    api, _ = guarded
    backend.status = status
    assert await statuses(api, 5) == [status] * 5


async def test_failures_to_connect_count_and_the_fallback_is_used_while_it_is_open(
    api: Api, upstream: Upstream, closed_url: str
) -> None:
    await api.route(closed_url)
    await api.policy("circuit_breaker", CONFIG)
    assert await statuses(api, 4) == [502, 502, 502, 503]
    await api.route(closed_url, fallback_url=upstream.url)
    answer = await api.get("/a/x")
    assert (answer.status, answer.headers["X-Stoa-Fallback"]) == (200, "circuit-open")


async def test_a_body_that_the_client_sends_wrong_says_nothing_of_the_backend(
    guarded: tuple[Api, Upstream], backend: Backend
) -> None:
    api, _ = guarded
    await api.policy("request_size", {"max": 10})
    backend.status = 200

    async def endless() -> Any:
        for _ in range(20):
            yield b"x" * 1000

    for _ in range(5):
        answer = await api.send("POST", "/a/x", data=endless())
        assert answer.status == 413
    assert await statuses(api, 1) == [200]


async def test_a_change_of_the_table_keeps_it_open(
    guarded: tuple[Api, Upstream], upstream: Upstream
) -> None:
    api, _ = guarded
    await statuses(api, 3)
    await api.policy("headers", {"response": {"set": {"X-A": "1"}}})
    assert await statuses(api, 1) == [503]
    # Another backend has a breaker of its own.
    await api.route(upstream.url)
    assert await statuses(api, 1) == [200]


RULES = BreakerRules(3, 10.0, 30.0)


@examples(400)
@example([("ok", 1.9583747369973779), *[("bad", 0.0)] * 3, ("ok", 0.0)])
@given(
    st.lists(st.tuples(st.sampled_from(["ok", "bad", "none"]), st.floats(0, 40)), max_size=60),
)
def test_it_opens_for_failures_of_the_window_alone_and_never_stays_open(
    steps: list[tuple[str, float]],
) -> None:
    clock = FakeClock()
    breakers = CircuitBreakers(clock)
    failed: list[float] = []
    for outcome, pause in steps:
        clock.advance(pause)
        was_open = [breaker.state for _, breaker in breakers if breaker.state != "closed"]
        wait = breakers.refuse(KEY, RULES, 5.0)
        if wait is not None:
            assert was_open
            assert 0 < wait <= RULES.reset
            continue
        breakers.note(KEY, RULES, is_failure={"ok": False, "bad": True, "none": None}[outcome])
        if outcome == "bad":
            failed.append(clock.monotonic())
        opened = [breaker for _, breaker in breakers if breaker.state == "open"]
        if opened and not was_open:
            recent = [at for at in failed if clock.monotonic() - at <= RULES.window]
            assert len(recent) >= RULES.failures
    clock.advance(RULES.reset + 5.0)
    assert breakers.refuse(KEY, RULES, 5.0) is None


def test_breakers_are_bounded_and_only_backends_that_failed_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stoa_proxy.core.circuit_breakers._MAX_BREAKERS", 10)
    breakers = CircuitBreakers(FakeClock())
    for number in range(50):
        breakers.note(KEY._replace(origin=str(number)), RULES, is_failure=False)
    assert len(breakers) == 0
    for number in range(50):
        breakers.note(KEY._replace(origin=str(number)), RULES, is_failure=True)
    assert len(breakers) == 10


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"window": "1s", "reset": "1s"}, "config.failures"),
        ({"failures": 1, "window": "0s", "reset": "1s"}, "config.window"),
        ({"failures": 1, "window": "1s"}, "config.reset"),
        ({"failures": 1, "window": "1s", "reset": "1s", "x": 1}, "'x'"),
    ],
    ids=str,
)
def test_a_config_that_cannot_work_is_refused_with_its_key(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        POLICIES.parse("circuit_breaker", "p", config)
