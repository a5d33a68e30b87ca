"""Policies that need I/O, on the real engine: awaited, bounded, and never an open door."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.policy import (
    AsyncPolicy,
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    Services,
)
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.complete.services import MAX_FETCHED_BYTES
from stoa_proxy.errors import ServiceFailed
from stoa_proxy.policies import POLICIES
from stoa_proxy.policies.registry import PolicyRegistry

from tests.proxy.conftest import TOKEN, Api, FakeClock, Upstream, running
from tests.streams import stream_server

Prepare = Callable[[PolicyContext, Services], Awaitable[Respond | None]]


@dataclass
class Calls:
    """What the policy under test does, and what was done with it."""

    prepare: Prepare | None = None
    prepared: int = 0
    filtered: int = 0
    is_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    is_begun: asyncio.Event = field(default_factory=asyncio.Event)


class Introspection(AsyncPolicy):
    """Does in `prepare` what the test says."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        self.calls.prepared += 1
        self.calls.is_begun.set()
        try:
            assert self.calls.prepare is not None
            return await self.calls.prepare(context, services)
        except asyncio.CancelledError:
            self.calls.is_cancelled.set()
            raise

    def request_filter(self, context: PolicyContext) -> Respond | None:
        self.calls.filtered += 1
        return None


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
async def gated(
    calls: Calls, clock: FakeClock, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Api]:
    """A gateway whose route has the policy under test, which ends in time for another reason."""
    monkeypatch.setattr("stoa_proxy.engines.base.PREPARE_SECONDS", 600.0)

    def parse(policy_id: str, config: Mapping[str, object]) -> Policy:
        return Introspection(calls)

    introspection = PolicyType("introspection", Phase.CLIENT_ADDRESS, parse, "", is_shared=False)
    registry = PolicyRegistry([*POLICIES.types, introspection])
    async with running(clock=clock, policy_types=registry) as api:
        await api.route(upstream.url, timeout_ms=600_000)
        await api.policy("introspection", {})
        yield api


async def test_a_request_is_forwarded_when_the_policy_allows_it(
    gated: Api, calls: Calls, upstream: Upstream
) -> None:
    async def allow(context: PolicyContext, services: Services) -> Respond | None:
        return None

    calls.prepare = allow
    response = await gated.send("POST", "/a/x", data=b"the body")
    assert response.status == 200
    assert (await response.json())["body"] == "the body"
    assert (calls.prepared, calls.filtered) == (1, 1)
    assert upstream.seen[0].target == "/x"


async def test_the_body_is_forwarded_whole_behind_a_policy(
    gated: Api, calls: Calls, start_upstream: Callable[..., Awaitable[Upstream]]
) -> None:
    bodies: list[bytes] = []

    async def collect(request: web.BaseRequest) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    async def wait(context: PolicyContext, services: Services) -> Respond | None:
        await asyncio.sleep(0)
        return None

    calls.prepare = wait
    await gated.route((await start_upstream(collect)).url)
    response = await gated.send("POST", "/a/x", data=b"x" * 300_000)
    assert response.status == 200
    assert bodies == [b"x" * 300_000]


async def test_a_policy_decides_by_what_a_service_says_and_remembers_it(
    gated: Api, calls: Calls, start_upstream: Callable[..., Awaitable[Upstream]]
) -> None:
    async def say(request: web.BaseRequest) -> web.Response:
        token = (await request.read()).decode()
        return web.Response(status=200 if token == "good" else 403, headers={"X-Who": token})

    service = await start_upstream(say)

    async def introspect(context: PolicyContext, services: Services) -> Respond | None:
        token = context.head.value("authorization") or "none"
        status = services.cache.get(f"introspection:{token}")
        if status is None:
            answer = await services.fetch(
                "POST", f"{service.url}/check?x=1", (("X-Key", "k"),), token.encode()
            )
            assert ("X-Who", token) in answer.headers
            status = answer.status
            services.cache.put(f"introspection:{token}", status, 60.0)
        return None if status == 200 else problem(403, "Forbidden")

    calls.prepare = introspect
    statuses = [
        (await gated.get("/a/x", {"Authorization": token})).status
        for token in ("good", "bad", "good", "bad")
    ]
    assert statuses == [200, 403, 200, 403]
    assert [one.target for one in service.seen] == ["/check?x=1"] * 2
    assert service.seen[0].all("x-key") == ["k"]


async def test_a_refusal_is_what_the_client_gets_and_nothing_is_forwarded(
    gated: Api, calls: Calls, upstream: Upstream
) -> None:
    async def refuse(context: PolicyContext, services: Services) -> Respond | None:
        return problem(401, "Unauthorized", "The token is not active.")

    calls.prepare = refuse
    await gated.policy("cors", {"origins": ["https://a.test"]})
    response = await gated.get("/a/x", {"Origin": "https://a.test"})
    assert response.status == 401
    assert response.headers["Access-Control-Allow-Origin"] == "https://a.test"
    assert calls.filtered == 0
    assert upstream.seen == []


async def test_policies_run_in_their_order_around_the_one_that_waits(
    gated: Api, calls: Calls, upstream: Upstream
) -> None:
    async def allow(context: PolicyContext, services: Services) -> Respond | None:
        return None

    calls.prepare = allow
    await gated.policy("rate_limit", {"requests": 1, "window": "1h"})
    assert [(await gated.get("/a/x")).status for _ in range(2)] == [200, 429]
    assert calls.prepared == 2
    # Of the same phase, with a lower priority: it refuses before anything is awaited.
    await gated.put(
        "policies",
        {
            "id": "0",
            "name": "n",
            "policy_type": "ip_filter",
            "config": {"deny": ["127.0.0.1"]},
            "priority": 1,
            "api_id": "r1",
        },
    )
    assert (await gated.get("/a/x")).status == 403
    assert calls.prepared == 2


async def test_a_slow_policy_is_ended_with_503(
    gated: Api, calls: Calls, upstream: Upstream
) -> None:
    async def hang(context: PolicyContext, services: Services) -> Respond | None:
        await asyncio.Event().wait()
        return None

    calls.prepare = hang
    await gated.route(upstream.url, timeout_ms=50)
    response = await gated.get("/a/x")
    assert response.status == 503
    assert response.content_type == "application/problem+json"
    assert calls.is_cancelled.is_set()
    assert (calls.filtered, upstream.seen) == (0, [])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("secret-detail"), 500),
        (KeyError("secret-detail"), 500),
        (ServiceFailed("secret-detail"), 503),
        (TimeoutError("secret-detail"), 503),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_a_policy_raises_refuses_the_request(
    gated: Api,
    calls: Calls,
    upstream: Upstream,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
) -> None:
    async def fail(context: PolicyContext, services: Services) -> Respond | None:
        raise error

    calls.prepare = fail
    with caplog.at_level(logging.WARNING, "stoa_proxy.engine"):
        responses = [await gated.get("/a/x") for _ in range(3)]
    assert [response.status for response in responses] == [status] * 3
    assert "secret-detail" not in await responses[0].text()
    assert (calls.filtered, upstream.seen) == (0, [])
    # Once in a while, for a client can provoke it with every request.
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "policy=Introspection" in caplog.text


async def test_a_client_that_leaves_cancels_the_policy(
    gated: Api, calls: Calls, upstream: Upstream
) -> None:
    async def hang(context: PolicyContext, services: Services) -> Respond | None:
        await asyncio.Event().wait()
        return None

    calls.prepare = hang
    _, writer = await asyncio.open_connection("127.0.0.1", gated.gateway.port)
    writer.write(b"GET /a/x HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(calls.is_begun.wait(), 30)
    writer.transport.abort()
    await asyncio.wait_for(calls.is_cancelled.wait(), 30)
    assert (calls.filtered, upstream.seen) == (0, [])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "broken"),
        (b"garbage\r\n\r\n", "bad-answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_FETCHED_BYTES + 1), "more than"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "changed the protocol"),
    ],
)
async def test_a_service_that_fails_is_503_and_says_why_in_the_log(
    gated: Api,
    calls: Calls,
    closed_url: str,
    caplog: pytest.LogCaptureFixture,
    answer: bytes | None,
    message: str,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert answer is not None
        writer.write(answer)

    url = closed_url

    async def fetch(context: PolicyContext, services: Services) -> Respond | None:
        await services.fetch("GET", url)
        return None

    calls.prepare = fetch
    async with stream_server(serve) as port:
        if answer is not None:
            url = f"http://127.0.0.1:{port}/"
        with caplog.at_level(logging.WARNING, "stoa_proxy.engine"):
            assert (await gated.get("/a/x")).status == 503
    assert message in caplog.text


async def test_a_service_that_is_away_is_named_by_its_url_without_the_query(
    gated: Api, calls: Calls, closed_url: str
) -> None:
    said: list[str] = []

    async def fetch(context: PolicyContext, services: Services) -> Respond | None:
        with pytest.raises(ServiceFailed) as failed:
            await services.fetch("GET", f"{closed_url}/v1/traces?key=s3cret")
        said.append(str(failed.value))
        return problem(418, "Refused")

    calls.prepare = fetch
    assert (await gated.get("/a/x")).status == 418
    assert said == [f"{closed_url}/v1/traces: unreachable"]


@pytest.mark.parametrize("url", ["http://192.168.7.7/", "builtin:echo", "file:///etc/passwd", "x"])
async def test_services_are_fetched_under_the_address_rules_of_backends(
    gated: Api, calls: Calls, url: str
) -> None:
    async def fetch(context: PolicyContext, services: Services) -> Respond | None:
        with pytest.raises(ServiceFailed):
            await services.fetch("GET", url)
        return problem(418, "Refused")

    calls.prepare = fetch
    assert (await gated.get("/a/x")).status == 418


async def test_the_clock_of_the_services_is_the_gateways(
    gated: Api, calls: Calls, clock: FakeClock
) -> None:
    async def tell(context: PolicyContext, services: Services) -> Respond | None:
        return problem(200, str(services.clock.monotonic()))

    calls.prepare = tell
    assert (await (await gated.get("/a/x")).json())["title"] == str(clock.monotonic())


async def test_apis_without_such_a_policy_never_wait(
    gated: Api, calls: Calls, upstream: Upstream
) -> None:
    await gated.route(upstream.url, "/b", id="r2")
    await gated.policy("headers", {"request": {"set": {"X-A": "1"}}}, api_id="r2")
    table = gated.gateway.store.table
    assert (table.api("r1").needs_services, table.api("r2").needs_services) == (True, False)
    assert (await gated.get("/b/x")).status == 200
    assert calls.prepared == 0
    await gated.admin("DELETE", "/admin/policies/r1.introspection")
    assert not gated.gateway.store.table.api("r1").needs_services


async def test_a_fallback_works_behind_a_policy_that_waits(
    gated: Api, calls: Calls, upstream: Upstream, closed_url: str
) -> None:
    async def allow(context: PolicyContext, services: Services) -> Respond | None:
        return None

    calls.prepare = allow
    await gated.route(closed_url, fallback_url=upstream.url)
    response = await gated.get("/a/x")
    assert (response.status, response.headers["X-Stoa-Fallback"]) == (200, "unreachable")
    assert calls.prepared == 1


def test_a_policy_is_bounded_in_each_event_loop_that_a_gateway_runs_in(calls: Calls) -> None:
    async def hang(context: PolicyContext, services: Services) -> Respond | None:
        await asyncio.Event().wait()
        return None

    def parse(policy_id: str, config: Mapping[str, object]) -> Policy:
        return Introspection(calls)

    async def configure(session: aiohttp.ClientSession) -> Api:
        await gateway.start()
        api = Api(gateway, session)
        await api.route("http://192.0.2.1", timeout_ms=1000)
        await api.policy("introspection", {})
        return api

    async def stop_meanwhile() -> None:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task((await configure(session)).get("/a/x"))
            await calls.is_begun.wait()
            await gateway.stop(0)
            with pytest.raises(aiohttp.ClientError):
                await asking

    async def wait_for_status() -> int:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            status = (await (await configure(session)).get("/a/x")).status
            await gateway.stop(0)
            return status

    calls.prepare = hang
    introspection = PolicyType("introspection", Phase.AUTHORIZATION, parse, "", is_shared=False)
    gateway = Gateway(
        ProxyConfig(port=0, admin_api_token=TOKEN, backends_allow=("192.0.2.0/24",)),
        policy_types=PolicyRegistry([introspection]),
    )
    asyncio.run(stop_meanwhile())  # leaves a timer of the same limit behind in its loop
    assert asyncio.run(wait_for_status()) == 503


async def test_a_stop_ends_a_policy_that_hangs(gated: Api, calls: Calls) -> None:
    async def hang(context: PolicyContext, services: Services) -> Respond | None:
        await asyncio.Event().wait()
        return None

    calls.prepare = hang
    asking = asyncio.create_task(gated.get("/a/x"))
    await asyncio.wait_for(calls.is_begun.wait(), 30)
    await gated.gateway.stop(0.05)
    await asyncio.wait_for(calls.is_cancelled.wait(), 30)
    with pytest.raises(aiohttp.ClientError):
        await asking


async def test_what_one_tenant_caches_displaces_nothing_of_another(
    gated: Api, calls: Calls, upstream: Upstream
) -> None:
    seen: list[object] = []

    async def remember(context: PolicyContext, services: Services) -> Respond | None:
        seen.append(services.cache.get("introspection:token"))
        services.cache.put("introspection:token", context.route.tenant_id, 60.0)
        return None

    calls.prepare = remember
    await gated.route(upstream.url, "/b", id="r2", tenant_id="other")
    await gated.policy("introspection", {}, "r2")
    for path in ("/a", "/b", "/a", "/b"):
        assert (await gated.get(path)).status == 200
    assert seen == [None, None, "acme", "other"]
