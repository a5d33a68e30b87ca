"""A load balancer says whose connection it passes on, and nobody else may."""

from __future__ import annotations

import asyncio
import json
import struct
from contextlib import AbstractAsyncContextManager, suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.config import ProxyConfig, config_from_env
from stoa_proxy.engines.complete import beginnings
from stoa_proxy.errors import ConfigInvalid, ProxyHeaderInvalid
from stoa_proxy.http.proxy_protocol import LONGEST, ProxyHeader, read_proxy_header

from tests.proxy.conftest import TOKEN, Api, Upstream, route_body, running

MAGIC = b"\r\n\r\n\x00\r\nQUIT\n"
REQUEST = b"GET /a/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here ends because its time is over."""
    monkeypatch.setattr(beginnings, "_SECONDS", 3600.0)


def version_2(client: str | None, extra: bytes = b"", command: int = 1) -> bytes:
    if client is None:
        return MAGIC + struct.pack("!BBH", 0x20 | command, 0, len(extra)) + extra
    packed = ip_address(client).packed
    family = 0x11 if len(packed) == 4 else 0x21
    body = packed + packed + struct.pack("!HH", 40000, 443) + extra
    return MAGIC + struct.pack("!BBH", 0x20 | command, family, len(body)) + body


def version_1(client: str) -> bytes:
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {client} 40000 443\r\n".encode()


GOOD = [
    (version_1("192.0.2.7"), "192.0.2.7"),
    (version_1("2001:db8::7"), "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff 65535\r\n", None),
    (version_2("192.0.2.8"), "192.0.2.8"),
    (version_2("2001:db8::8", b"\x04\x00\x03abc"), "2001:db8::8"),
    (version_2("192.0.2.8", command=0), None),
    (version_2(None), None),
]
BAD = [
    b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 192.0.2.7\r\n", b"proxy TCP4 ", b"\x16\x03\x01",
    version_1("192.0.2.7").replace(b"TCP4", b"TCP6"), b"PROXY TCP4 a b 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.7 1 65536\r\n", b"PROXY " + b"x" * 200,
    MAGIC + struct.pack("!BBH", 0x31, 0x11, 12) + bytes(12),
    MAGIC + struct.pack("!BBH", 0x22, 0x11, 12) + bytes(12),
    MAGIC + struct.pack("!BBH", 0x21, 0x11, 4) + bytes(4),
    MAGIC + struct.pack("!BBH", 0x21, 0x51, 12) + bytes(12),
    MAGIC + struct.pack("!BBH", 0x21, 0x11, LONGEST) + bytes(20),
]  # fmt: skip


@pytest.mark.parametrize(("header", "client"), GOOD)
def test_a_header_is_read_whole_and_no_further(header: bytes, client: str | None) -> None:
    assert read_proxy_header(header + REQUEST) == ProxyHeader(len(header), client)
    for end in range(len(header)):
        assert read_proxy_header(header[:end]) is None, end


@pytest.mark.parametrize("header", BAD)
def test_whatever_else_is_refused(header: bytes) -> None:
    with pytest.raises(ProxyHeaderInvalid):
        read_proxy_header(header)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: MAGIC + tail))
def test_any_bytes_are_read_wait_for_more_or_are_refused(data: bytes) -> None:
    try:
        header = read_proxy_header(data)
    except ProxyHeaderInvalid:
        return
    if header is not None:
        assert 0 < header.size <= len(data)
        assert header.client is None or ip_address(header.client)


def balanced() -> AbstractAsyncContextManager[Api]:
    return running(trusted_proxies=("127.0.0.1/32",), proxy_protocol=True, connections_per_client=2)


async def talk(port: int, *parts: bytes, address: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def routed(api: Api, upstream: Upstream) -> None:
    body = json.dumps(route_body(upstream.url)).encode()
    head = (
        f"POST /admin/apis HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    answer = await talk(api.gateway.port, version_1("127.0.0.1"), head.encode() + body)
    assert b" 201 " in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(("header", "client"), GOOD)
async def test_backends_and_policies_see_the_client(
    upstream: Upstream, header: bytes, client: str | None
) -> None:
    async with balanced() as api:
        await routed(api, upstream)
        for parts in ((header + REQUEST,), (header, REQUEST), (header[:9], header[9:], REQUEST)):
            assert b" 200 " in (await talk(api.gateway.port, *parts)).partition(b"\r\n")[0]
    seen = [request.all("X-Forwarded-For") for request in upstream.seen]
    assert seen == [[client or "127.0.0.1"]] * 3


async def test_others_are_closed_without_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with balanced() as api:
        port = api.gateway.port
        assert await talk(port, version_1("192.0.2.7"), REQUEST, address="127.0.0.2") == b""
        assert "not from STOA_TRUSTED_PROXIES" in caplog.text
        assert await talk(port, REQUEST) == b""
        assert "without a header of the PROXY protocol" in caplog.text
        # A load balancer that hangs up within the header.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(MAGIC)
        writer.close()
        assert await reader.read() == b""
        assert b" 200 " in await talk(
            port, version_1("192.0.2.7"), REQUEST.replace(b"/a/x", b"/health")
        )


async def test_the_share_of_a_client_is_its_own() -> None:
    async with balanced() as api:
        port = api.gateway.port
        opened = []
        for number in range(6):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(version_1(f"192.0.2.{number % 3}"))
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(30):
                assert b"200" in await reader.readuntil(b"\r\n\r\n")
            opened.append(writer)
        for writer in opened:
            writer.close()


async def test_whoever_hangs_up_within_a_header_is_not_waited_for() -> None:
    async with balanced() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(b"PROXY TCP4 192.")
        writer.write_eof()
        async with asyncio.timeout(30):
            with suppress(ConnectionResetError):  # what it had sent was never taken
                assert await reader.read() == b""
        writer.close()


async def test_a_stop_does_not_wait_for_headers() -> None:
    async with balanced() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(MAGIC)
        # Served after it, so that the first one has been accepted.
        health = REQUEST.replace(b"/a/x", b"/health")
        assert b" 200 " in await talk(api.gateway.port, version_1("192.0.2.7"), health)
        async with asyncio.timeout(30):
            await api.gateway.stop(0.1)
            with suppress(ConnectionResetError):  # what it had sent was never taken
                assert await reader.read() == b""
        writer.close()


def test_it_needs_to_know_the_load_balancer() -> None:
    env = {"STOA_PROXY_PROTOCOL": "true", "STOA_TRUSTED_PROXIES": "10.0.0.0/8"}
    assert config_from_env(env).proxy_protocol is True
    with pytest.raises(ConfigInvalid, match="STOA_TRUSTED_PROXIES"):
        ProxyConfig(proxy_protocol=True)
