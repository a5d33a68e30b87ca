"""Clients that end: what an upstream has ends with them, what the gateway answers itself does not.

Half-closing and leaving look the same until something is sent (docs/adr/0049).
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable

import pytest

from tests.proxy.conftest import TOKEN, Api, running
from tests.proxy.raw import read_head, serving

LINES = b" HTTP/1.1\r\nHost: x\r\n"
CALL = b"GET /a" + LINES + b"\r\n"
LAST = b"GET /a" + LINES + b"Connection: close\r\n\r\n"
UPLOAD = b"POST /a" + LINES + b"Content-Length: 2\r\n\r\nok"
OWN = {
    "health": (b"GET /health" + LINES + b"\r\n", [200]),
    "the last one": (b"GET /health" + LINES + b"Connection: close\r\n\r\n", [200]),
    "HTTP/1.0": (b"GET /health HTTP/1.0\r\n\r\n", [200]),
    "no route": (b"GET /none" + LINES + b"\r\n", [404]),
    "a refusal by a policy": (b"GET /keyed" + LINES + b"\r\n", [401]),
    "a malformed request": (b"GET  /a" + LINES + b"\r\n", [400]),
    "the admin API": (
        b"GET /admin/apis" + LINES + b"Authorization: Bearer %b\r\n\r\n" % TOKEN.encode(), [200],
    ),
    "several": (b"GET /none" + LINES + b"\r\n" + b"GET /health" + LINES + b"\r\n", [404, 200]),
    "half a head": (b"GET /health" + LINES, []),
    "half a body": (b"POST /admin/apis" + LINES + b"Content-Length: 9\r\n\r\n{", []),
}  # fmt: skip


class Upstream:
    """Answers once it may, and tells when it is asked and when its connection ends."""

    def __init__(self) -> None:
        self.asked, self.ended, self.may_answer = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_head(reader)
            self.asked.set()
            if self.may_answer.is_set():
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            while await reader.read(100):
                pass
        finally:
            self.ended.set()


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0)


def is_empty(api: Api) -> bool:
    engine = api.gateway._engine
    return not (engine._client.in_flight.counts or engine._request_shares.tenants.counts)


async def received(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    async with asyncio.timeout(30):
        found = await reader.read()
    writer.close()
    await writer.wait_closed()
    return found


@pytest.mark.parametrize("name", OWN)
async def test_who_ends_with_a_request_gets_what_the_gateway_answers_itself(name: str) -> None:
    sent, statuses = OWN[name]
    async with running() as api:
        await api.route("http://127.0.0.1:9", "/keyed", id="keyed", name="keyed")
        await api.policy("api_key", {"name": "X-Key"}, "keyed")
        await api.session.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(sent)
        writer.write_eof()
        found = await received(reader, writer)
        assert [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3})", found)] == statuses
        await until(lambda: not len(api.gateway._engine._server.shares))


@pytest.mark.parametrize("sent", [CALL, LAST, UPLOAD])
@pytest.mark.parametrize("ends", ["by half", "at all", "by a reset"])
async def test_what_an_upstream_has_ends_with_its_client(sent: bytes, ends: str) -> None:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running() as api:
        await api.route(url)
        await api.session.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(sent)
        async with asyncio.timeout(30):
            await upstream.asked.wait()
            if ends == "by half":
                writer.write_eof()
                assert await reader.read() == b""
            elif ends == "by a reset":
                at_once = struct.pack("ii", 1, 0)
                connected = writer.get_extra_info("socket")
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.close()
            await upstream.ended.wait()
        await until(lambda: is_empty(api))


@pytest.mark.parametrize("sent", [CALL, LAST, UPLOAD])
async def test_who_ends_with_a_request_gets_nothing_of_an_upstream(sent: bytes) -> None:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running() as api:
        await api.route(url)
        await api.session.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(sent)
        writer.write_eof()
        assert await received(reader, writer) == b""
        await until(lambda: is_empty(api))
        upstream.may_answer.set()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(LAST)
        assert (await received(reader, writer)).endswith(b"ok"), "it serves others as ever"
