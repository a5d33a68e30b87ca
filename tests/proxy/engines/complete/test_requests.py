"""Heads of requests whose meaning takes care: absolute targets, upgrades, expectations."""

from __future__ import annotations

import asyncio

import pytest

from tests.proxy.conftest import TOKEN, Api, Upstream
from tests.proxy.raw import exchange, read_head

HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_the_upstream_is_told_the_host_that_was_routed_on(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, hosts=["public.example"])
    sent = b"GET http://public.example/a HTTP/1.1\r\nHost: internal\r\nConnection: close\r\n\r\n"
    assert (await exchange(api.gateway.port, sent)).startswith(b"HTTP/1.1 200")
    assert upstream.seen[0].all("X-Forwarded-Host") == ["public.example"]


async def test_the_gateways_own_paths_are_its_own_in_the_absolute_form(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, prefix="/")
    for path in (b"/health", b"/ready", b"/admin/health", b"/admin/apis?x"):
        head = b"GET http://gw" + path + b" HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n"
        token = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        assert (await exchange(api.gateway.port, head + token)).startswith(b"HTTP/1.1 200")
    unknown = b"GET http://gw/admin/x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"
    assert (await exchange(api.gateway.port, unknown)).startswith(b"HTTP/1.1 401")
    assert not upstream.seen


@pytest.mark.parametrize("scheme", [b"ftp", b"ws", b"javascript"])
async def test_absolute_targets_of_other_schemes_are_refused(
    api: Api, upstream: Upstream, scheme: bytes
) -> None:
    await api.route(upstream.url)
    sent = b"GET " + scheme + b"://x/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await exchange(api.gateway.port, sent)).startswith(b"HTTP/1.1 400")
    assert not upstream.seen


@pytest.mark.parametrize(
    ("framed", "body"),
    [
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Content-Length: 0\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ],
)
async def test_a_client_that_would_rather_speak_http_2_can_send_bodies(
    api: Api, upstream: Upstream, framed: bytes, body: bytes
) -> None:
    await api.route(upstream.url)
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n" + framed
    asks = b"Upgrade: h2c\r\nHTTP2-Settings: AAEA\r\n\r\n"
    behind = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await exchange(api.gateway.port, head + asks + body + behind)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.") == 1, "what follows is not read as a request"
    assert [one.body for one in upstream.seen] == [b"hello" if body else b""]
    assert not upstream.seen[0].all("Upgrade") + upstream.seen[0].all("HTTP2-Settings")


async def test_http_1_0_knows_no_upgrade(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    answer = await exchange(api.gateway.port, b"GET /a HTTP/1.0\r\nHost: x\r\n" + HANDSHAKE)
    assert answer.startswith(b"HTTP/1.0 200")
    assert not upstream.seen[0].all("Upgrade")


async def test_a_proxy_for_the_upstreams_own_calls_is_not_the_clients_to_name(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.get("/a", {"Proxy": "http://evil.example"})
    assert not upstream.seen[0].all("Proxy")


@pytest.mark.parametrize("path", [b"/nowhere", b"/health", b"/admin/apis"])
async def test_a_response_before_leave_to_send_says_that_the_connection_ends(
    api: Api, path: bytes
) -> None:
    sent = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(sent + b"Expect: 100-continue\r\n\r\n")
    async with asyncio.timeout(30):
        head = await read_head(reader)
    assert b"100 Continue" not in head
    assert b"Connection: close\r\n" in head, "what comes next is a body to us"
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_was_given_leave_to_send_keeps_its_connection(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    async with asyncio.timeout(30):
        for _ in range(2):
            writer.write(
                b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
            assert (await read_head(reader)).startswith(b"HTTP/1.1 100")
            writer.write(b"hello")
            head = (await read_head(reader)).lower()
            assert head.startswith(b"http/1.1 200")
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
    assert [one.body for one in upstream.seen] == [b"hello", b"hello"]
    writer.close()
    await writer.wait_closed()
