"""What one client, one tenant or one upstream takes is not taken from the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from stoa_proxy.config import config_from_env
from stoa_proxy.engines.complete.request_body import UploadPace
from stoa_proxy.engines.deadlines import TimeLimits
from stoa_proxy.errors import ConfigInvalid

from tests.proxy.conftest import Api, Upstream, running
from tests.proxy.raw import exchange

CALL = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UPLOAD = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"


class Waiting:
    """An upstream that answers when it may."""

    def __init__(self) -> None:
        self.may_respond = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.arrived.release()
        await self.may_respond.wait()
        return web.Response(text="done")


@asynccontextmanager
async def held(api: Api, waiting: Waiting, *paths: str) -> AsyncIterator[None]:
    """Requests that wait for an upstream; each is answered in the end."""
    port = api.gateway.port
    calls = []
    for path in paths:
        calls.append(asyncio.create_task(exchange(port, CALL.replace(b"/a", path.encode()))))
        await waiting.arrived.acquire()
    try:
        yield
    finally:
        waiting.may_respond.set()
        answers = await asyncio.gather(*calls)
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


async def test_one_client_holds_its_share_and_no_more(upstream: Upstream) -> None:
    waiting = Waiting()
    upstream.answer = waiting.answer
    async with running(connections_per_client=2) as api:
        await api.route(upstream.url)
        await api.session.close()
        async with held(api, waiting, "/a", "/a"):
            refused = await exchange(api.gateway.port, CALL)
            assert refused.startswith(b"HTTP/1.1 429")
            assert b"Your address has all connections that one may have." in refused
            assert (await exchange(api.gateway.port, HEALTH)).startswith(b"HTTP/1.1 200")
            other = asyncio.create_task(exchange(api.gateway.port, CALL, "127.0.0.2"))
            await waiting.arrived.acquire()
        assert (await other).startswith(b"HTTP/1.1 200")


async def test_a_tenant_holds_its_share_and_no_more(upstream: Upstream) -> None:
    waiting = Waiting()
    upstream.answer = waiting.answer
    async with running(requests_per_tenant=1) as api:
        await api.route(upstream.url)
        await api.route(upstream.url, "/b", id="r2", tenant_id="other")
        async with held(api, waiting, "/a"):
            refused = await exchange(api.gateway.port, CALL)
            assert refused.startswith(b"HTTP/1.1 503")
            assert b"Retry-After: 1\r\n" in refused
            assert b"The tenant of this API has all that it may have." in refused
            metrics = await exchange(api.gateway.port, HEALTH.replace(b"/health", b"/metrics"))
            assert b'stoa_share_refusals_total{bound="requests-tenant"} 1\n' in metrics
            assert b"stoa_requests_in_flight_of_one_tenant 1\n" in metrics
            other = asyncio.create_task(api.get("/b"))
            await waiting.arrived.acquire()
        assert (await other).status == 200
        assert (await api.get("/a")).status == 200


async def test_an_upstream_holds_its_share_of_a_tenant_and_no_more(
    upstream: Upstream, api: Api
) -> None:
    waiting = Waiting()
    upstream.answer = waiting.answer
    async with running(requests_per_upstream=1) as api:
        await api.route(upstream.url)
        await api.route(upstream.url, "/b", id="r2", tenant_id="other")
        await api.route("http://localhost:1", "/c", id="r3")
        async with held(api, waiting, "/a"):
            refused = await exchange(api.gateway.port, CALL)
            assert refused.startswith(b"HTTP/1.1 503")
            assert b"The upstream has all requests that it may have." in refused
            assert (await api.get("/c")).status == 502, "another upstream was tried"
            other = asyncio.create_task(api.get("/b"))
            await waiting.arrived.acquire()
        assert (await other).status == 200
        assert (await api.get("/a")).status == 200


async def test_a_client_that_leaves_gives_its_place_back(upstream: Upstream) -> None:
    waiting = Waiting()
    upstream.answer = waiting.answer
    async with running(requests_per_tenant=1, requests_per_upstream=1) as api:
        await api.route(upstream.url)
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(CALL)
        await waiting.arrived.acquire()
        writer.close()
        waiting.may_respond.set()
        async with asyncio.timeout(30):
            while (await api.get("/a")).status != 200:
                await asyncio.sleep(0)


async def test_a_full_upstream_sends_to_the_fallback(upstream: Upstream) -> None:
    waiting = Waiting()
    upstream.answer = waiting.answer
    async with running(requests_per_upstream=1) as api:
        await api.route(upstream.url, fallback_url="builtin:echo")
        async with held(api, waiting, "/a"):
            answer = await api.get("/a")
            assert (answer.status, answer.headers["X-Stoa-Fallback"]) == (200, "busy")


async def test_a_body_that_is_not_sent_is_not_waited_for(upstream: Upstream) -> None:
    async with running(upload_seconds=0.05) as api:
        await api.route(upstream.url)
        answer = await exchange(api.gateway.port, UPLOAD + b"x")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"The request's body did not come in time." in answer
    assert b"connection: close" in answer.lower()


class Trickle:
    """A body in parts of `size` bytes, for each of which a client takes five seconds."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    async def readany(self) -> bytes:
        self.seconds += 5.0
        return b"x" * self._size

    def is_eof(self) -> bool:
        return False


async def test_a_body_of_single_bytes_is_not_waited_for() -> None:
    body = Trickle(1)
    pace = UploadPace(30.0, TimeLimits(), body.now)
    for _ in range(6):
        await pace.read(body)
    with pytest.raises(TimeoutError):
        await pace.read(body)


@pytest.mark.parametrize(("size", "is_answered"), [(4096, False), (1, True)])
async def test_a_steady_body_and_one_whose_response_has_begun_take_their_time(
    size: int, is_answered: bool
) -> None:
    body = Trickle(size)
    pace = UploadPace(30.0, TimeLimits(), body.now)
    pace.is_over = is_answered
    for _ in range(50):
        assert await pace.read(body) == b"x" * size


async def test_silence_is_waited_for_once_the_response_has_begun() -> None:
    class Late(Trickle):
        async def readany(self) -> bytes:
            self.seconds += 5.0
            if self.seconds < 11:
                await asyncio.Event().wait()
            return b"late"

    body = Late(1)
    pace = UploadPace(0.01, TimeLimits(), body.now)
    pace.is_over = True
    assert await pace.read(body) == b"late"
    assert body.seconds == 15, "the limit was over twice before"


async def test_a_stream_of_both_sides_lives_on(upstream: Upstream) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await request.read()
        await response.write(b"ended")
        return response

    upstream.answer = answer
    async with running(upload_seconds=1.0) as api:
        await api.route(upstream.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(UPLOAD + b"x")
        async with asyncio.timeout(30):
            await reader.readuntil(b"begun\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 1.5)
            writer.write(b"x" * 99)
            await reader.readuntil(b"ended")
        writer.close()


async def test_clients_behind_a_trusted_proxy_are_told_apart(upstream: Upstream) -> None:
    waiting = Waiting()
    upstream.answer = waiting.answer
    async with running(connections_per_client=1, trusted_proxies=("127.0.0.1/32",)) as api:
        await api.route(upstream.url)

        def call(client: bytes) -> bytes:
            return CALL.replace(b"Host", b"X-Forwarded-For: 9.9.9.9, %b\r\nHost" % client)

        port = api.gateway.port
        first = asyncio.create_task(exchange(port, call(b"192.0.2.1")))
        await waiting.arrived.acquire()
        refused = await exchange(port, call(b"192.0.2.1"))
        assert refused.startswith(b"HTTP/1.1 429")
        assert b"Your address has all that one may have." in refused
        second = asyncio.create_task(exchange(port, call(b"192.0.2.2")))
        await waiting.arrived.acquire()
        waiting.may_respond.set()
        for answer in (await first, await second):
            assert answer.startswith(b"HTTP/1.1 200")
        assert [seen.all("X-Forwarded-For") for seen in upstream.seen] == [
            ["192.0.2.1"],
            ["192.0.2.2"],
        ]


@pytest.mark.parametrize(
    ("trusted", "scheme"), [("127.0.0.1/32", "https"), ("192.0.2.0/24", "http")]
)
async def test_only_a_trusted_proxy_says_that_its_client_uses_tls(
    trusted: str, scheme: str, upstream: Upstream
) -> None:
    async with running(trusted_proxies=(trusted,)) as api:
        await api.route(upstream.url)
        await api.get("/a", {"X-Forwarded-Proto": "https", "X_Forwarded_Proto": "https"})
    (seen,) = upstream.seen
    assert seen.all("X-Forwarded-Proto") == [scheme]
    assert seen.all("X_Forwarded_Proto") == []


async def test_nobody_else_says_who_calls(upstream: Upstream) -> None:
    async with running(trusted_proxies=("192.0.2.0/24",)) as api:
        await api.route(upstream.url)
        await api.get("/a", {"X-Forwarded-For": "192.0.2.1"})
    assert upstream.seen[0].all("X-Forwarded-For") == ["127.0.0.1"]


def test_bounds_are_read_from_the_environment() -> None:
    config = config_from_env(
        {
            "STOA_MAX_CONNECTIONS_PER_CLIENT": "5",
            "STOA_UPLOAD_SECONDS": "7",
            "STOA_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1",
        }
    )
    assert (config.connections_per_client, config.upload_seconds) == (5, 7)
    assert config.trusted_proxies == ("10.0.0.0/8", "192.0.2.1")
    for name, wrong in (("STOA_UPLOAD_SECONDS", "0"), ("STOA_TRUSTED_PROXIES", "10/8")):
        with pytest.raises(ConfigInvalid, match=name):
            config_from_env({name: wrong})


async def test_kept_connections_to_many_upstreams_do_not_pile_up(
    start_upstream: Callable[[], Awaitable[Upstream]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_proxy.engines.complete.upstream.pool._KEEPALIVE_SECONDS", 3600.0)
    async with running(max_connections=2) as api:
        for number in range(5):
            upstream = await start_upstream()
            await api.route(upstream.url, f"/{number}", id=f"r{number}")
            assert (await api.get(f"/{number}")).status == 200
        pool = api.gateway._engine._client._pool
        async with asyncio.timeout(30):
            while pool._opened.count > 2:
                await asyncio.sleep(0)


async def test_an_idle_connection_ends_after_its_time() -> None:
    config = config_from_env({"STOA_KEEPALIVE_SECONDS": "7", "STOA_WEBSOCKET_IDLE_SECONDS": "8"})
    assert (config.keepalive_seconds, config.idle_seconds) == (7, 8)
    async with running(keepalive_seconds=0.05) as api:
        answer = await exchange(api.gateway.port, HEALTH.replace(b"Connection: close\r\n", b""))
    assert answer.startswith(b"HTTP/1.1 200"), "and the gateway closed the connection"
