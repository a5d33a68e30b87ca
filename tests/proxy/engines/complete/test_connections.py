"""The bound of client connections: which are closed beyond it, and what is logged."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from shlex import quote

import pytest
from aiohttp import web
from stoa_proxy.config import config_from_env
from stoa_proxy.engines.complete.listener import Listener
from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.connection_shares import SPARE
from stoa_proxy.foundation.throttled_log import PAUSE_SECONDS

from tests.proxy.conftest import Api, FakeClock, Upstream, running
from tests.proxy.raw import read_head

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
CALL = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


class Clients:
    """Connections to one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, data: bytes = b"") -> Ends:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        writer.write(data)
        return reader, writer

    async def close_all(self) -> None:
        for writer in self._writers:
            writer.close()
        ends = [writer.wait_closed() for writer in self._writers]
        await asyncio.gather(*ends, return_exceptions=True)


@asynccontextmanager
async def clients_of(port: int) -> AsyncIterator[Clients]:
    clients = Clients(port)
    try:
        async with asyncio.timeout(30):
            yield clients
    finally:
        await clients.close_all()


async def read_status(ends: Ends) -> int:
    """The status of the next answer, whose body is read."""
    head = await read_head(ends[0])
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    await ends[0].readexactly(length)
    return int(head.split()[1])


async def send(ends: Ends, data: bytes) -> int:
    ends[1].write(data)
    return await read_status(ends)


async def is_closed(ends: Ends) -> bool:
    try:
        return await ends[0].read() == b""
    except ConnectionError:
        return True


class BusyGateway:
    """A gateway whose connections all wait for an upstream, until `finish_requests`."""

    def __init__(self, api: Api, clients: Clients) -> None:
        self.api = api
        self.clients = clients
        self.may_respond = asyncio.Event()
        self.busy: list[Ends] = []

    async def finish_requests(self) -> None:
        self.may_respond.set()
        for ends in self.busy:
            assert await read_status(ends) == 200, "a request at work is never ended"


@asynccontextmanager
async def all_connections_busy(count: int, upstream: Upstream) -> AsyncIterator[BusyGateway]:
    arrived = asyncio.Semaphore(0)
    async with (
        running(max_connections=count) as api,
        clients_of(api.gateway.port) as clients,
    ):
        work = BusyGateway(api, clients)

        async def wait(request: web.BaseRequest) -> web.StreamResponse:
            arrived.release()
            await work.may_respond.wait()
            return web.Response(text="done")

        upstream.answer = wait
        await api.route(upstream.url)
        await api.session.close()  # should it still count, it is idle and goes first
        for _ in range(count):
            work.busy.append(await clients.connect(CALL))
            await arrived.acquire()
        yield work


async def test_the_connection_that_is_idle_longest_ends_for_a_new_one() -> None:
    async with running(max_connections=3) as api, clients_of(api.gateway.port) as clients:
        first, second, third = [await clients.connect() for _ in range(3)]
        assert await send(third, HEALTH) == 200
        assert await send(first, HEALTH) == 200
        fourth = await clients.connect(HEALTH)
        assert await read_status(fourth) == 200
        assert await is_closed(second), "it sent nothing at all"
        assert await send(await clients.connect(), HEALTH) == 200
        assert await is_closed(third), "it spoke before the first did"
        assert await send(first, HEALTH) == 200
        assert await send(fourth, HEALTH) == 200


async def test_part_of_a_head_does_not_count_as_speaking() -> None:
    async with running(max_connections=2) as api, clients_of(api.gateway.port) as clients:
        trickling, other = await clients.connect(), await clients.connect()
        assert await send(other, HEALTH) == 200
        trickling[1].write(HEALTH[:9])
        assert await send(await clients.connect(), HEALTH) == 200
        assert await is_closed(trickling)
        assert await send(other, HEALTH) == 200


async def test_while_all_are_at_work_a_few_more_get_health_and_nothing_else(
    upstream: Upstream,
) -> None:
    async with all_connections_busy(2, upstream) as work:
        assert await read_status(await work.clients.connect(HEALTH)) == 200
        refused = await work.clients.connect(CALL)
        head = await read_head(refused[0])
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1\r\n" in head
        assert b"Too many connections" in await refused[0].read()
        await work.finish_requests()
    assert len(upstream.seen) == 2


async def test_beyond_those_few_the_oldest_of_them_ends(upstream: Upstream) -> None:
    async with all_connections_busy(2, upstream) as work:
        silent = [await work.clients.connect() for _ in range(SPARE + 6)]
        assert await read_status(await work.clients.connect(HEALTH)) == 200
        for ends in silent[:6]:
            assert await is_closed(ends)
        await work.finish_requests()


async def test_a_connection_beyond_the_bound_serves_all_once_there_is_room(
    upstream: Upstream,
) -> None:
    async with all_connections_busy(2, upstream) as work:
        late = await work.clients.connect(HEALTH)
        assert await read_status(late) == 200
        await work.finish_requests()
        work.busy[0][1].close()
        server = work.api.gateway._engine._server
        assert server is not None
        while len(server.shares) > 2:
            await asyncio.sleep(0)
        assert await send(late, CALL) == 200


async def test_a_refused_upload_makes_room_though_its_body_still_comes(
    upstream: Upstream,
) -> None:
    async with running(max_connections=1) as api, clients_of(api.gateway.port) as clients:
        await api.route(upstream.url)
        await api.session.close()
        refused = await clients.connect(
            b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"
        )
        assert await read_status(refused) == 404
        assert await send(await clients.connect(), CALL) == 200
        assert await is_closed(refused)


async def test_being_full_is_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    def count_lines() -> int:
        return caplog.text.count("all 1 client connections are in use")

    async with (
        running(max_connections=1, clock=clock) as api,
        clients_of(api.gateway.port) as clients,
    ):
        for _ in range(5):
            assert await send(await clients.connect(), HEALTH) == 200
        assert count_lines() == 1
        clock.advance(PAUSE_SECONDS)
        assert await send(await clients.connect(), HEALTH) == 200
        assert count_lines() == 2


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    lowest_free = os.dup(0)
    os.close(lowest_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_want_of_descriptors_is_logged_once_without_a_traceback_and_ends(
    caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    made: list[asyncio.Protocol] = []
    tries = 0

    def relieve() -> None:
        nonlocal tries
        tries += 1

    def make() -> asyncio.Protocol:
        made.append(asyncio.Protocol())
        return made[-1]

    async def until(is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not is_so():
                await asyncio.sleep(0)

    listener = Listener(make, relieve, clock, pause_seconds=0.001)
    port = await listener.open("127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port)):
        with no_descriptors_left():
            await until(lambda: tries >= 3)
            assert len(caplog.records) == 1
            clock.advance(PAUSE_SECONDS)
            await until(lambda: tries >= 6)
        await until(lambda: made)
        await listener.close()
    first, second = [one.getMessage() for one in caplog.records]
    assert first == "no connection can be accepted: Too many open files"
    assert second.startswith(f"{first} (left out since: ")
    assert not [one for one in caplog.records if one.exc_info]


async def test_80_idle_clients_of_a_process_with_64_files_hinder_nobody() -> None:
    command = f"ulimit -n 64; exec {quote(sys.executable)} -m stoa_proxy"
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        command,
        env={**os.environ, "STOA_PORT": "0"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        lines = [await process.stderr.readline(), await process.stderr.readline()]
    port = int(lines[1].decode().partition("url=http://127.0.0.1:")[2].split()[0])
    async with clients_of(port) as clients:
        for _ in range(80):
            await clients.connect()
        for _ in range(3):
            assert await send(await clients.connect(), HEALTH) == 200
        process.terminate()
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    assert "all 16 connections that one client may have are in use client=127.0.0.1" in rest
    assert "ERROR" not in rest
    told = [line for line in rest.splitlines() if "standalone: " not in line]
    assert len(told) == 2, rest


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="for want of the option")
async def test_a_client_that_never_reads_the_last_of_a_response_ends(upstream: Upstream) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x" * 60_000)

    upstream.answer = answer
    async with running(write_seconds=0.3) as api:
        await api.route(upstream.url)
        await api.session.close()
        engine = api.gateway._engine
        for listening in engine._listener._sockets:
            # So little that what is left is in the transport, and below what it calls much.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", api.gateway.port))
            await loop.sock_sendall(
                client, CALL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
            async with asyncio.timeout(30):
                while not upstream.seen or len(engine._server.shares):
                    await asyncio.sleep(0.02)


def test_the_bound_is_read_from_the_environment() -> None:
    assert config_from_env({}).max_connections is None
    assert config_from_env({"STOA_MAX_CONNECTIONS": "50"}).max_connections == 50
    for wrong in ("0", "many", "-1"):
        with pytest.raises(ConfigInvalid, match="STOA_MAX_CONNECTIONS"):
            config_from_env({"STOA_MAX_CONNECTIONS": wrong})
