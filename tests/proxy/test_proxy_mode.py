"""Mode `proxy` with an upstream of its own: what no route is for goes there as it came."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig, config_from_env
from stoa_proxy.errors import ConfigInvalid

from tests.proxy.conftest import LOOPBACK, Api, Upstream, running
from tests.proxy.raw import exchange

Start = Callable[..., Awaitable[Upstream]]


@pytest.fixture
async def transparent(upstream: Upstream) -> AsyncIterator[Api]:
    async with running(upstream_url=upstream.url) as api:
        yield api


@pytest.mark.parametrize(
    "target",
    ["/", "/a", "/a/", "/a//b", "/a/b;v=1?x=1&y=%20", "/%41/caf%C3%A9/%2F", "/mcp",
     "/health/startup", "/authz", "/?x", "/adminx", "/a?next=//evil.test"],
)  # fmt: skip
async def test_a_target_arrives_byte_for_byte(
    transparent: Api, upstream: Upstream, target: str
) -> None:
    assert (await transparent.get(target)).status == 200
    assert upstream.seen[0].target == target


async def test_methods_bodies_and_responses_pass_as_they_are(
    start_upstream: Start,
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        headers = {"X-Reply": "1", "Connection": "X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=9"}
        return web.Response(status=418, headers=headers, body=body[::-1])

    upstream = await start_upstream(answer)
    async with running(upstream_url=f"{upstream.url}/base") as api:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            got = await api.send(method, "/x?q", {"X-A": "1"}, data=b"abc")
            assert (got.status, await got.text()) == (418, "cba")
            assert got.headers["X-Reply"] == "1"
            assert "X-Hop" not in got.headers
            assert "Keep-Alive" not in got.headers
        assert {(seen.method, seen.target) for seen in upstream.seen} == {
            (method, "/base/x?q") for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        }


async def test_hop_by_hop_headers_and_claims_stay_behind(
    transparent: Api, upstream: Upstream
) -> None:
    sent = {
        "Connection": "keep-alive, X-Secret-Hop", "X-Secret-Hop": "1", "TE": "trailers",
        "Proxy-Authorization": "Basic x", "X-User-Id": "root", "X-Forwarded-For": "10.0.0.1",
        "Authorization": "Bearer kept", "Cookie": "kept=1",
    }  # fmt: skip
    assert (await transparent.get("/a", sent)).status == 200
    (seen,) = upstream.seen
    for name in ("X-Secret-Hop", "TE", "Proxy-Authorization", "X-User-Id"):
        assert not seen.all(name), name
    assert seen.all("Authorization") == ["Bearer kept"]
    assert seen.all("Cookie") == ["kept=1"]
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert len(seen.all("Via")) == 1


async def test_a_redirect_is_passed_on_and_not_followed(start_upstream: Start) -> None:
    other = await start_upstream()

    async def redirect(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{other.url}/taken"})

    upstream = await start_upstream(redirect)
    async with running(upstream_url=upstream.url) as api:
        got = await api.send("POST", "/x", {"Authorization": "Bearer secret"}, data=b"x")
        assert (got.status, got.headers["Location"]) == (307, f"{other.url}/taken")
        assert not other.seen


@pytest.mark.parametrize(
    "head",
    [
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: h\r\n folded: 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: h\r\nHost: i\r\nConnection: close\r\n\r\n",
        b"GET /x/../y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET /%2e%2e/y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET @evil.test/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    ],
)
async def test_what_is_in_doubt_is_refused_here(
    transparent: Api, upstream: Upstream, head: bytes
) -> None:
    received = await exchange(transparent.gateway.port, head)
    assert received.startswith(b"HTTP/1.1 400 "), received
    assert not upstream.seen


@pytest.mark.parametrize("target", ["http://evil.test/x", "//evil.test/x", "/x@evil.test:1/"])
async def test_no_target_leads_to_another_host(
    transparent: Api, upstream: Upstream, target: str
) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    assert (await exchange(transparent.gateway.port, head)).startswith(b"HTTP/1.1 200 ")
    (seen,) = upstream.seen
    assert seen.all("Host") == [f"127.0.0.1:{upstream.port}"]


async def test_the_gateways_own_paths_are_its_own(transparent: Api, upstream: Upstream) -> None:
    for path, status in (("/health", 200), ("/ready", 200), ("/metrics", 200), ("/admin/x", 401)):
        assert (await transparent.get(path)).status == status
    assert not upstream.seen


async def test_routes_of_the_table_come_first(
    transparent: Api, upstream: Upstream, start_upstream: Start
) -> None:
    other = await start_upstream()
    assert (await transparent.get("/a/x")).status == 200
    await transparent.route(other.url, methods=["GET"], plans=[{"name": "gold"}])
    assert (await transparent.get("/a/x")).status == 401
    assert (await transparent.send("PUT", "/a/x")).status == 405
    for path in ("//a/x", "/%2Fa/x", "/;p/a/x"):
        assert (await transparent.get(path)).status == 400, path
    assert (await transparent.get("/b")).status == 200
    assert [seen.target for seen in upstream.seen] == ["/a/x", "/b"]
    await transparent.admin("DELETE", "/admin/apis/r1")
    assert (await transparent.get("/a/x")).status == 200
    assert not other.seen


async def test_policies_may_name_what_has_no_route(transparent: Api, upstream: Upstream) -> None:
    await transparent.policy("rate_limit", {"requests": 1, "window": "1h"}, "upstream")
    assert [(await transparent.get("/x")).status for _ in range(2)] == [200, 429]
    health = await (await transparent.admin("GET", "/admin/health")).json()
    assert (health["unattached_policies"], health["routes_count"]) == ([], 0)


async def test_an_upstream_that_is_not_there_is_502(closed_url: str) -> None:
    async with running(upstream_url=closed_url) as api:
        answer = await api.get("/x")
        assert answer.status == 502
        assert (await answer.json())["type"] == "urn:stoa:problem:upstream-unreachable"


async def test_an_address_that_may_not_be_called_is_not(upstream: Upstream) -> None:
    for url in (upstream.url, f"http://localhost:{upstream.port}", "http://[::ffff:10.0.0.1]/"):
        with pytest.raises(ConfigInvalid, match=r"STOA_UPSTREAM_URL.*STOA_BACKENDS_ALLOW"):
            Gateway(ProxyConfig(upstream_url=url))
    # A name is looked up when it is connected to.
    name = socket.gethostname()
    denied = {"backends_allow": LOOPBACK, "backends_deny": ("0.0.0.0/0", "::/0")}
    async with running(upstream_url=f"http://{name}:{upstream.port}", **denied) as api:
        assert (await api.get("/x")).status == 502
    assert not upstream.seen


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"STOA_UPSTREAM_URL": "http://a", "STOA_GATEWAY_MODE": "edge-mcp"}, "STOA_UPSTREAM_URL"),
        ({"STOA_UPSTREAM_URL": "http://a", "STOA_GATEWAY_MODE": "sidecar"}, "STOA_UPSTREAM_URL"),
        ({"STOA_UPSTREAM_TIMEOUT": "0"}, "STOA_UPSTREAM_TIMEOUT"),
        ({"STOA_UPSTREAM_TIMEOUT": "soon"}, "STOA_UPSTREAM_TIMEOUT"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(env: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigInvalid, match=named):
        config_from_env(env)


@pytest.mark.parametrize(
    "url", ["ftp://a.test", "http://u:s3cret@a.test", "a.test", "http://a.test/#x"]
)
def test_an_upstream_is_a_url(url: str) -> None:
    with pytest.raises(ConfigInvalid, match="STOA_UPSTREAM_URL") as raised:
        Gateway(ProxyConfig(upstream_url=url))
    assert "s3cret" not in str(raised.value)


def test_the_upstream_is_read_from_the_environment() -> None:
    env: dict[str, Any] = {"STOA_UPSTREAM_URL": "http://a.test", "STOA_UPSTREAM_TIMEOUT": "5"}
    config = config_from_env(env)
    assert (config.mode, config.upstream_url, config.upstream_timeout) == (
        "proxy",
        "http://a.test",
        5,
    )
