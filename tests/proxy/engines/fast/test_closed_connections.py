"""Closed connections are gone at once: what waits for the collector looks like a leak for minutes.

A full collection comes after thousands of connections, and looks at the whole table.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.proxy.conftest import Api, running
from tests.proxy.raw import exchange, read_head, serving

HEAD = b" /a HTTP/1.1\r\nHost: x\r\n"
LAST = b"Connection: close\r\n"
WAYS = {
    "kept": b"GET" + HEAD + b"\r\n" + b"GET" + HEAD + LAST + b"\r\n",
    "alone": b"GET" + HEAD + LAST + b"\r\n",
    "length": b"POST" + HEAD + LAST + b"Content-Length: 3\r\n\r\nabc",
    "chunks": b"POST" + HEAD + LAST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "refused": b"GET /nowhere HTTP/1.1\r\nHost: x\r\n" + LAST + b"\r\n",
    "malformed": b"GET  x\r\n\r\n",
    "handed over": b"GET /health HTTP/1.1\r\nHost: x\r\n" + LAST + b"\r\n",
}


@contextmanager
def waste() -> Iterator[list[str]]:
    """The types of the data plane's objects that only the collector finds, at the end."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += sorted(
            {type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("stoa_")}
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def settle(api: Api) -> None:
    """Wait until no client is connected."""
    async with asyncio.timeout(30):
        while api.gateway._engine._links():
            await asyncio.sleep(0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ends_upstream", [False, True], ids=["kept", "upstream ends"])
async def test_a_closed_connection_leaves_nothing(way: str, *, ends_upstream: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            if b"chunked" in head:
                await reader.readuntil(b"0\r\n\r\n")
            elif head.startswith(b"POST"):
                await reader.readexactly(3)
            last = LAST if ends_upstream else b""
            writer.write(b"HTTP/1.1 200 OK\r\n" + last + b"Transfer-Encoding: chunked\r\n\r\n")
            writer.write(b"2\r\nok\r\n0\r\n\r\n")
            if ends_upstream:
                break

    async with serving(talk) as url, running(engine="fast") as api:
        await api.route(url)
        await api.session.close()  # whose connection ends when it likes
        await exchange(api.gateway.port, WAYS[way])  # what is made with the first one stays
        await settle(api)
        with waste() as found:
            for _ in range(3):
                await exchange(api.gateway.port, WAYS[way])
            await settle(api)
            await asyncio.sleep(0)
        assert found == []


async def test_a_client_that_leaves_before_the_response_leaves_nothing() -> None:
    came = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        came.set()
        await reader.read()

    async with serving(talk) as url, running(engine="fast") as api:
        await api.route(url)
        await api.session.close()
        await settle(api)
        with waste() as found:
            for _ in range(3):
                came.clear()
                _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
                writer.write(WAYS["alone"])
                await came.wait()
                writer.close()
                await writer.wait_closed()
                await settle(api)
            await asyncio.sleep(0)
        assert found == []
