"""Closed connections are gone at once, without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.proxy.conftest import ONLY, Api
from tests.proxy.raw import exchange

pytestmark = pytest.mark.skipif(ONLY == "fast", reason="about transports of asyncio's own loop")
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def transports() -> int:
    return sum(type(one).__name__ == "_SelectorSocketTransport" for one in gc.get_objects())


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def open_and_close(port: int) -> None:
    """Open ten connections by plain sockets: a client's transports would count, too."""
    loop = asyncio.get_running_loop()
    for _ in range(10):
        found = await loop.run_in_executor(None, ask, port)
        assert found.startswith(b"HTTP/1.1 200")


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(REQUEST)
        received = b""
        while block := client.recv(4096):
            received += block
    return received


async def test_connections_to_the_data_plane_leave_nothing(api: Api) -> None:
    await exchange(api.gateway.port, REQUEST)  # what is made with the first one stays
    with without_collector():
        before = transports()
        await open_and_close(api.gateway.port)
        await asyncio.sleep(0)
        assert transports() <= before + 1


async def test_asyncio_has_the_name_that_is_released() -> None:
    reader = asyncio.StreamReader()
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: asyncio.StreamReaderProtocol(reader), *server.sockets[0].getsockname()
    )
    assert hasattr(transport, "_read_ready_cb"), "closed connections wait for the collector again"
    transport.close()
    server.close()
