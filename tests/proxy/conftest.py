"""A running data plane, real upstreams on loopback, and a clock that only tests move."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from yarl import URL

from tests.ports import own_port

TOKEN = "admin-token-1"
INPUTS = ("clock", "pause", "jitter", "policy_types")
# Far beyond what tests wait for: what ends in time does so for its own reason, and a pause of the
# machine ends nothing.
LIMITS = {
    "head_seconds": 600.0, "upload_seconds": 600.0, "write_seconds": 600.0,
    "keepalive_seconds": 600.0, "idle_seconds": 600.0,
}  # fmt: skip
LOOPBACK = ("127.0.0.0/8", "::1/128")
# Those of `make test` that run over both engines: what differs between them are sockets, and how
# requests and responses are read and written. `make test-heavy` runs the others over `fast`.
OVER_BOTH = (
    "engines/complete/test_requests.py", "engines/complete/test_failures.py",
    "engines/complete/test_forwarding.py", "engines/complete/test_upstream_responses.py",
    "engines/complete/test_connections.py", "engines/complete/test_shares.py",
    "http/test_framing.py", "test_app.py", "policies/test_caching.py",
    "policies/test_logging_policy.py", "policies/test_retry.py", "engines/test_backends.py",
    "engines/test_backend_auth.py", "engines/test_backend_traps.py", "pipeline/test_sidecar.py",
    "engines/test_tracing.py", "engines/test_route_headers.py", "engines/test_half_close.py",
    "engines/test_path_parameters.py", "engines/test_backend_tls.py",
    "proxy/test_snapshots.py",
    "control_plane/test_revocation.py",
    "test_proxy_mode.py", "shadow/test_shadow.py", "proxy/test_usage.py", "proxy/test_tls.py",
    "proxy/test_proxy_protocol.py",
)  # fmt: skip
ONLY = os.environ.get("PROXY_TEST_ENGINE")
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "aiohttp": asyncio.new_event_loop,
    "fast": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Any]:
    """Run tests on the event loop of an engine; `running` starts that engine."""
    if ONLY is not None:
        return {ONLY: LOOPS[ONLY]}
    is_over_both = item.path.as_posix().endswith(OVER_BOTH)
    return LOOPS if is_over_both else {"aiohttp": LOOPS["aiohttp"]}


def current_engine() -> str:
    """The engine that the current test is run over."""
    return "fast" if isinstance(asyncio.get_running_loop(), uvloop.Loop) else "aiohttp"


class FakeClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.start = datetime(2026, 6, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds - 1000.0)

    def time_ns(self) -> int:
        return (self.now() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Seen:
    """One request as an upstream got it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    """A real server that remembers what it got; `answer` may be replaced."""

    url: str
    port: int
    seen: list[Seen] = field(default_factory=list)
    answer: Handler | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read() if self.answer is None else b""
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.raw_headers]
        self.seen.append(Seen(request.method, request.raw_path, headers, body))
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({"url": request.raw_path, "body": body.decode("latin-1")})


class Api:
    """A client of the gateway under test."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def send(
        self, method: str, path: str, headers: Any = None, **kwargs: Any
    ) -> aiohttp.ClientResponse:
        """One exchange; the path goes out byte for byte, the answer is read to its end."""
        url = URL(self.gateway.base_url + path, encoded=True)
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **kwargs
        ) as answer:
            await answer.read()
            return answer

    async def get(self, path: str, headers: Any = None) -> aiohttp.ClientResponse:
        return await self.send("GET", path, headers)

    async def admin(
        self, method: str, path: str, body: object = None, headers: Any = None
    ) -> aiohttp.ClientResponse:
        sent = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
        if body is None:
            return await self.send(method, path, sent)
        return await self.send(
            method,
            path,
            {"Content-Type": "application/json", **sent},
            data=json.dumps(body).encode(),
        )

    async def put(self, kind: str, body: object) -> None:
        answer = await self.admin("POST", f"/admin/{kind}", body)
        assert answer.status in (200, 201), await answer.text()

    async def route(self, backend: str, prefix: str = "/a", **fields: Any) -> None:
        await self.put("apis", route_body(backend, prefix, **fields))

    async def policy(self, policy_type: str, config: object, api_id: str = "r1") -> None:
        body = policy_body(f"{api_id}.{policy_type}", api_id, policy_type, config, 100)
        await self.put("policies", body)

    async def consumer(
        self, key: str = "k1", consumer_id: str = "c1", subscriptions: Any = (), **fields: Any
    ) -> None:
        digest = hashlib.sha256(key.encode()).hexdigest()
        body = {
            "id": consumer_id,
            "name": "mobile",
            "tenant_id": "acme",
            "credentials": [{"type": "api_key", "key_sha256": digest}],
            "subscriptions": list(subscriptions),
            **fields,
        }
        await self.put("consumers", body)


def route_body(backend: str, prefix: str = "/a", **fields: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "name": "echo",
        "tenant_id": "acme",
        "path_prefix": prefix,
        "backend_url": backend,
        "methods": [],
        "spec_hash": "h1",
        "activated": True,
        **fields,
    }


def policy_body(
    policy_id: str, api_id: str, policy_type: str, config: Any, priority: int = 1
) -> dict[str, Any]:
    return {
        "id": policy_id, "name": "n", "policy_type": policy_type, "config": config,
        "priority": priority, "api_id": api_id,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _patient_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent at the end is sent, however busy the machine is."""
    monkeypatch.setattr("stoa_proxy.span_exporter._STOP_SECONDS", 60.0)
    monkeypatch.setattr("stoa_proxy.access_log_writer._STOP_SECONDS", 60.0)


def expire_calls(api: Api) -> None:
    """Let the time of all calls to upstreams be over now, whatever it is."""
    for queue in api.gateway._engine._client._limits._queues.values():
        for limit in list(queue._waiting):
            queue.remove(limit)
            limit.expire()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[Api]:
    """A gateway with a client; keywords are settings, INPUTS are what is handed in."""
    inputs = {key: config.pop(key) for key in INPUTS if key in config}
    settings = {
        "engine": current_engine(),
        "port": 0,
        "admin_api_token": TOKEN,
        "backends_allow": LOOPBACK,
        **LIMITS,
        **config,
    }
    gateway = Gateway(ProxyConfig(**settings), **inputs)
    await gateway.start()
    try:
        async with aiohttp.ClientSession(
            auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield Api(gateway, session)
    finally:
        await gateway.stop(0.2)


@pytest.fixture
async def api(clock: FakeClock) -> AsyncIterator[Api]:
    async def no_pause(seconds: float) -> None:
        await asyncio.sleep(0)

    async with running(clock=clock, pause=no_pause) as api:
        yield api


@pytest.fixture
async def start_upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    async with AsyncExitStack() as stack:

        async def start(answer: Handler | None = None) -> Upstream:
            upstream = Upstream("", 0, answer=answer)
            runner = web.ServerRunner(web.Server(upstream.handle), shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            upstream.port = site.port
            upstream.url = f"http://127.0.0.1:{site.port}"
            return upstream

        yield start


@pytest.fixture
async def upstream(start_upstream: Callable[..., Awaitable[Upstream]]) -> Upstream:
    return await start_upstream()


@pytest.fixture
def closed_url() -> Iterator[str]:
    """A loopback address that refuses connections until the test listens there."""
    with own_port() as port:
        yield f"http://127.0.0.1:{port}"
