"""Slow clients are waited for; those that stop reading are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import cast

import pytest
from stoa_proxy.engines.complete.slow_clients import SlowClientGuard


class Sending:
    """A transport to a client that never reads: `ours` is what is still to send at each check."""

    def __init__(self, connection: socket.socket, *ours: int) -> None:
        self.aborted = asyncio.Event()
        self._connection = connection
        self.ours = list(ours)

    def get_write_buffer_size(self) -> int:
        return self.ours.pop(0)

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self._connection

    def abort(self) -> None:
        self.aborted.set()


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0],
    ):
        yield client


def guard_for(sending: Sending, seconds: float = 0.01) -> SlowClientGuard:
    return SlowClientGuard(cast("asyncio.Transport", sending), seconds)


async def test_a_slow_client_is_waited_for_while_it_reads_something(
    connection: socket.socket,
) -> None:
    sending = Sending(connection, 1_000_000, 983_000, 900_000, 880_000, 870_000)
    guard_for(sending).start()
    async with asyncio.timeout(30):
        await sending.aborted.wait()
    assert sending.ours == [], "under 16 KiB in a while is nothing, and before that all was well"


async def test_bytes_in_the_kernel_count_as_not_read(connection: socket.socket) -> None:
    connection.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += connection.send(b"x" * 65536)
    held = guard_for(Sending(connection, 1000)).left_to_send()
    assert 1000 < held <= sent + 1000


async def test_a_client_that_reads_the_rest_in_time_is_not_dropped(
    connection: socket.socket,
) -> None:
    sending, other = Sending(connection, 1000, 1000), Sending(connection, 5, 5)
    guard = guard_for(sending)
    guard.start()
    guard.stop()
    guard_for(other, 0.02).start()
    async with asyncio.timeout(30):
        await other.aborted.wait()
    assert not sending.aborted.is_set()
    assert sending.ours == [1000]
