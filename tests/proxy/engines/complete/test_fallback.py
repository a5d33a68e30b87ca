"""Fallbacks, retries, timeouts and the built-in echo."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.proxy.conftest import Api, FakeClock, Upstream, running

Start = Callable[..., Awaitable[Upstream]]
KEY_AUTH = {"in": "header", "name": "X-Backend-Key", "value": "sekret"}


def answering(status: int) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, text="from upstream")

    return answer


async def test_without_a_fallback_an_unreachable_upstream_is_a_502_without_details(
    api: Api, closed_url: str
) -> None:
    await api.route(closed_url)
    answer = await api.get("/a")
    assert answer.status == 502
    assert answer.content_type == "application/problem+json"
    assert closed_url.removeprefix("http://") not in await answer.text()


async def test_an_unreachable_upstream_goes_to_the_fallback_and_rests_for_30_seconds(
    api: Api, upstream: Upstream, start_upstream: Start, clock: FakeClock, closed_url: str
) -> None:
    await api.route(closed_url, fallback_url=upstream.url + "/fb", backend_auth=KEY_AUTH)
    first, second = await api.get("/a/x?y=1"), await api.get("/a/x")
    assert (first.status, second.status) == (200, 200)
    assert first.headers["X-Stoa-Fallback"] == "unreachable"
    assert second.headers["X-Stoa-Fallback"] == "upstream-down"
    assert upstream.seen[0].target == "/fb/x?y=1"
    assert upstream.seen[0].all("X-Backend-Key") == [], "the backend's credential stays with it"
    clock.advance(29.9)
    assert (await api.get("/a")).headers["X-Stoa-Fallback"] == "upstream-down"
    clock.advance(0.1)
    assert (await api.get("/a")).headers["X-Stoa-Fallback"] == "unreachable"


async def test_an_upstream_that_can_be_connected_to_is_tried_every_time(
    api: Api, start_upstream: Start
) -> None:
    async def drop(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    broken = await start_upstream(drop)
    await api.route(broken.url, fallback_url="builtin:echo")
    marks = [(await api.get("/a")).headers["X-Stoa-Fallback"] for _ in range(2)]
    assert marks == ["no-answer", "no-answer"]
    assert len(broken.seen) == 2


async def test_a_denied_backend_goes_to_the_fallback(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url, fallback_url="builtin:echo")
    await api.gateway.update_backends(allow=[])
    assert (await api.get("/a")).headers["X-Stoa-Fallback"] == "denied"
    await api.gateway.update_backends(allow=["127.0.0.1"])
    assert "X-Stoa-Fallback" not in (await api.get("/a")).headers


async def test_an_upstream_that_came_back_is_used_after_its_rest(
    api: Api, upstream: Upstream, clock: FakeClock
) -> None:
    await api.route(upstream.url, fallback_url="builtin:echo")
    backend = api.gateway.store.table.routes["r1"].backend
    api.gateway.pipeline.backends.upstream_health.mark_down(backend)  # type: ignore[arg-type]
    assert "X-Stoa-Fallback" in (await api.get("/a")).headers
    clock.advance(30)
    assert "X-Stoa-Fallback" not in (await api.get("/a")).headers


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_answers_that_mean_no_service_go_to_the_fallback(
    api: Api, start_upstream: Start, status: int
) -> None:
    bad = await start_upstream(answering(status))
    await api.route(bad.url, fallback_url="builtin:echo")
    answer = await api.send("POST", "/a", data=b"hello")
    found = await answer.json()
    assert answer.status == 200
    assert answer.headers["X-Stoa-Fallback"] == f"status-{status}"
    assert (found["fallback"], found["reason"], found["body"]) == (
        True,
        f"status-{status}",
        "hello",
    )


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404])
async def test_other_answers_are_the_clients(api: Api, start_upstream: Start, status: int) -> None:
    good = await start_upstream(answering(status))
    await api.route(good.url, fallback_url="builtin:echo")
    answer = await api.get("/a")
    assert answer.status == status
    assert "X-Stoa-Fallback" not in answer.headers


async def test_a_body_goes_to_the_fallback_whole_or_the_first_response_stands(
    api: Api, upstream: Upstream, start_upstream: Start
) -> None:
    bad = await start_upstream(answering(500))
    await api.route(bad.url, fallback_url=upstream.url)
    small, large = b"s" * 60_000, b"l" * 200_000
    assert (await api.send("POST", "/a", data=small)).status == 200
    assert upstream.seen[0].body == small
    assert (await api.send("POST", "/a", data=large)).status == 500
    assert len(upstream.seen) == 1


async def test_an_unresolved_credential_goes_to_the_fallback_at_once_or_is_503(
    api: Api, upstream: Upstream
) -> None:
    unresolved = {**KEY_AUTH, "value": None}
    await api.route(upstream.url, backend_auth=unresolved, fallback_url="builtin:echo")
    answer = await api.get("/a")
    assert (await answer.json())["reason"] == "credential-unresolved"
    await api.route(upstream.url, backend_auth=unresolved)
    assert (await api.get("/a")).status == 503
    assert upstream.seen == []


async def test_a_fallback_that_fails_too_is_a_502(api: Api, closed_url: str) -> None:
    await api.route(closed_url, fallback_url=closed_url + "/other")
    answer = await api.get("/a")
    assert answer.status == 502
    assert answer.headers["X-Stoa-Fallback"] == "unreachable"


async def test_the_echo_says_what_it_received_without_credentials(api: Api) -> None:
    auth = {"in": "query", "name": "appid", "value": "sekret"}
    await api.route("builtin:echo", backend_auth=auth)
    await api.policy("api_key", {"name": "X-Mine", "hide": False})
    await api.consumer("k1")
    sent = {"X-Mine": "k1", "Authorization": "Bearer abc", "Cookie": "c=1", "X-Test": "1"}
    answer = await api.send("POST", "/a/x%2Fy?z=1&token=t", sent, data=b"hi")
    found = await answer.json()
    assert "X-Stoa-Fallback" not in answer.headers
    assert found["echo"] is True
    assert (found["method"], found["path"], found["query"]) == ("POST", "/x%2Fy", "z=1")
    assert (found["body"], found["route"], found["tenant"]) == ("hi", "r1", "acme")
    assert (found["fallback"], found["reason"]) == (False, None)
    assert found["headers"]["x-test"] == "1"
    assert found["headers"]["x-consumer-id"] == "c1"
    text = await answer.text()
    assert not [one for one in ("sekret", "Bearer", "c=1", "x-mine") if one in text]


@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["silent", "trickling"])
async def test_the_echo_waits_no_longer_for_a_body_than_the_route_says(
    api: Api, trickle: bytes
) -> None:
    await api.route("builtin:echo", timeout_ms=60)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    async with asyncio.timeout(30):
        answer = asyncio.ensure_future(reader.read(4096))
        while not answer.done():
            writer.write(trickle)
            await asyncio.wait([answer], timeout=0.01)
    head = answer.result()
    assert head.startswith(b"HTTP/1.1 408")
    assert b"Connection: close\r\n" in head
    assert b"application/problem+json" in head
    writer.transport.abort()


async def test_the_echo_bounds_the_body(api: Api) -> None:
    await api.route("builtin:echo")
    found = await (await api.send("POST", "/a", data=b"x" * 100_000)).json()
    assert (len(found["body"]), found["body_truncated"]) == (65536, True)


@pytest.fixture
async def flaky(start_upstream: Start) -> Any:
    """An upstream that closes two connections without an answer, then answers."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        if len(upstream.seen) <= 2:
            assert request.transport is not None
            request.transport.close()
        return web.Response(text="ok")

    upstream = await start_upstream(answer)
    return upstream


async def test_idempotent_requests_are_tried_again_with_growing_pauses(flaky: Upstream) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with running(pause=pause, jitter=lambda: 1.0) as api:
        await api.route(flaky.url, retries=3)
        assert (await api.get("/a")).status == 200
    assert len(flaky.seen) == 3
    assert pauses == [0.05, 0.1]


@pytest.mark.parametrize(
    ("method", "body", "retries"), [("POST", None, 3), ("PUT", b"x", 3), ("GET", None, 0)]
)
async def test_other_requests_are_tried_once(
    api: Api, flaky: Upstream, method: str, body: Any, retries: int
) -> None:
    await api.route(flaky.url, retries=retries)
    assert (await api.send(method, "/a", data=body)).status == 502
    assert len(flaky.seen) == 1


async def test_a_connection_that_was_closed_while_idle_is_no_failure(
    api: Api, start_upstream: Start
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if len(upstream.seen) == 2:  # as if it had been closed just before this request
            assert request.transport is not None
            request.transport.close()
        return web.Response(text="ok")

    upstream = await start_upstream(answer)
    await api.route(upstream.url, retries=0)
    assert [(await api.get("/a")).status for _ in range(2)] == [200, 200]
    assert len(upstream.seen) == 3


async def test_a_response_is_never_tried_again(api: Api, start_upstream: Start) -> None:
    bad = await start_upstream(answering(503))
    await api.route(bad.url, retries=5)
    assert (await api.get("/a")).status == 503
    assert len(bad.seen) == 1


async def test_a_slow_upstream_is_a_504_or_the_fallback(api: Api, start_upstream: Start) -> None:
    async def never(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    slow = await start_upstream(never)
    await api.route(slow.url, timeout_ms=50)
    assert (await api.get("/a")).status == 504
    await api.route(slow.url, timeout_ms=50, fallback_url="builtin:echo")
    assert (await api.get("/a")).headers["X-Stoa-Fallback"] == "timeout"
