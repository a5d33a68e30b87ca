"""Connections that bring one request: served without a transport, and whole when it is unusual."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from stoa_proxy.engines.complete.beginnings import Beginnings
from stoa_proxy.engines.fast import arrival
from stoa_proxy.engines.fast.connection import FastConnection
from stoa_proxy.engines.fast.quick import QuickLane
from stoa_proxy.engines.fast.quick_responses import KnownResponses

from tests.proxy.conftest import Api, running
from tests.proxy.engines.complete.test_connections import no_descriptors_left
from tests.proxy.raw import exchange, read_head, serving

HEAD = b"GET /a HTTP/1.1\r\nHost: x\r\n"
CLOSE = HEAD + b"Connection: close\r\n\r\n"
KEPT = HEAD + b"\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n%b"
OK = ANSWER % (2, b"ok")


class Upstream:
    """Answers what it is to answer, once `may_answer` is set."""

    def __init__(self) -> None:
        self.answer = OK
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = asyncio.Semaphore(0)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            self.asked.release()
            await self.may_answer.wait()
            writer.write(self.answer)


@pytest.fixture
def transports(monkeypatch: pytest.MonkeyPatch) -> list[FastConnection]:
    """The connections that got a transport."""
    made: list[FastConnection] = []
    begin = FastConnection.connection_made

    def note(connection: FastConnection, transport: asyncio.BaseTransport) -> None:
        made.append(connection)
        begin(connection, transport)

    monkeypatch.setattr(FastConnection, "connection_made", note)
    return made


@asynccontextmanager
async def warm(upstream: Upstream, **settings: float) -> AsyncIterator[Api]:
    """A gateway that has a connection to its upstream."""
    async with serving(upstream.talk) as url, running(engine="fast", **settings) as api:
        await api.route(url)
        await api.route(url, "/keyed", id="keyed", name="keyed")
        await api.policy("api_key", {"name": "X-Key"}, "keyed")
        await api.session.close()
        assert (await exchange(api.gateway.port, CLOSE)).endswith(b"ok")
        await upstream.asked.acquire()
        yield api


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0)


def is_corked(api: Api) -> bool:
    """Whether the only connection keeps back what is sent until more follows."""
    (arrived,) = api.gateway._engine._arrivals.all()
    with socket.socket(fileno=os.dup(arrived.number)) as held:
        return bool(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))


def is_empty(api: Api) -> bool:
    engine = api.gateway._engine
    counts = engine.client.in_flight.counts or engine.request_shares.tenants.counts
    held = counts or len(engine.shares) or engine.connections
    return not held and engine._arrivals.is_empty


async def test_a_usual_request_needs_no_transport(transports: list[FastConnection]) -> None:
    async with warm(Upstream()) as api:
        transports.clear()
        for _ in range(3):
            answer = await exchange(api.gateway.port, CLOSE)
            assert answer == OK.replace(
                b"Content-Length: 2\r\n",
                b"Content-Length: 2\r\nServer: stoa-gateway\r\nConnection: close\r\n",
            )
        refused = await exchange(api.gateway.port, CLOSE.replace(b"/a", b"/keyed"))
        assert refused.startswith(b"HTTP/1.1 401")
        assert b"Connection: close\r\n" in refused
        assert transports == []
        await until(lambda: is_empty(api))


async def test_a_kept_connection_gets_one_with_its_second_request(
    transports: list[FastConnection],
) -> None:
    async with warm(Upstream()) as api:
        transports.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        async with asyncio.timeout(30):
            for count in (0, 1, 1):
                writer.write(KEPT)
                assert b"close" not in await read_head(reader)
                assert await reader.readexactly(2) == b"ok"
                assert len(transports) == count
                if not count:
                    assert not is_corked(api), "only what is sent last may wait for the end"
        writer.close()
        await until(lambda: is_empty(api))


@pytest.mark.parametrize("sent", [CLOSE, KEPT])
@pytest.mark.parametrize("leaves", [True, False])
async def test_a_request_with_little_time_gets_one(
    transports: list[FastConnection], monkeypatch: pytest.MonkeyPatch, sent: bytes, *, leaves: bool
) -> None:
    monkeypatch.setattr(arrival, "_LEAST_SECONDS", 3600)
    upstream = Upstream()
    async with warm(upstream) as api:
        transports.clear()
        upstream.may_answer.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(sent)
        await until(lambda: transports)
        if leaves:
            writer.transport.abort()
            await until(lambda: is_empty(api))
            upstream.may_answer.set()
            return
        upstream.may_answer.set()
        async with asyncio.timeout(30):
            assert (b"close" in await read_head(reader)) == (sent == CLOSE)
            assert await reader.readexactly(2) == b"ok"
            writer.close()
            await until(lambda: is_empty(api))


@pytest.mark.parametrize("ends", ["in order", "by a reset"])
async def test_a_client_that_leaves_at_once_gives_everything_back(ends: str) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        upstream.may_answer.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(CLOSE)
        await upstream.asked.acquire()
        if ends == "by a reset":
            at_once = struct.pack("ii", 1, 0)
            connected = writer.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.close()
        await until(lambda: is_empty(api))
        upstream.may_answer.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
        b"HTTP/1.1 500 Broken\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_unusual_responses_come_whole(answer: bytes) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        upstream.answer = answer
        received = await exchange(api.gateway.port, CLOSE)
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"\r\nConnection: close" in head
        assert body == (b"2\r\nok\r\n0\r\n\r\n" if b"chunked" in head else b"ok")


async def test_an_upstream_that_hangs_up_or_hangs_is_met_as_ever() -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await read_head(reader)
            asked += 1
            if asked == 2:
                return  # hangs up: it is asked once more (RFC 9112, 9.3.1)
            if asked > 3:
                await reader.read()
            writer.write(OK)

    async with serving(talk) as url, running(engine="fast") as api:
        await api.route(url)
        for _ in range(2):
            assert (await exchange(api.gateway.port, CLOSE)).endswith(b"ok")
        for milliseconds in (100, 1001):  # by its own timer, and by that of all
            await api.route(url, timeout_ms=milliseconds)
            assert (await exchange(api.gateway.port, CLOSE)).startswith(b"HTTP/1.1 504")


@pytest.mark.parametrize("first", [CLOSE, KEPT])
async def test_what_comes_behind_a_request_takes_no_response_away(first: bytes) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        upstream.may_answer.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(first)
        await upstream.asked.acquire()
        writer.write(CLOSE)
        upstream.may_answer.set()
        async with asyncio.timeout(30):
            received = await reader.read()
        assert received.count(b"\r\n\r\nok") == (1 if first == CLOSE else 2)
        writer.close()


async def test_a_client_that_reads_slowly_gets_all(transports: list[FastConnection]) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        transports.clear()
        body = b"x" * 60_000
        upstream.answer = ANSWER % (len(body), body)
        with socket.socket() as client:
            # So little that the kernel cannot take the response for it.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", api.gateway.port))
            await loop.sock_sendall(client, CLOSE)
            received = b""
            async with asyncio.timeout(30):
                while block := await loop.sock_recv(client, 65536):
                    received += block
        assert received.endswith(b"\r\n\r\n" + body)
        await until(lambda: is_empty(api))


@pytest.mark.parametrize("sent", [b"", b"GET", KEPT])
async def test_silence_ends_a_connection(sent: bytes) -> None:
    async with warm(Upstream(), head_seconds=0.2, keepalive_seconds=0.2) as api:
        received = await exchange(api.gateway.port, sent)
        assert received.endswith(b"ok") == (sent == KEPT)
        await until(lambda: is_empty(api))


async def test_a_connection_that_cannot_grow_gives_everything_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:

        async def fail(beginnings: Beginnings, accepted: socket.socket, _: object) -> None:
            accepted.close()

        upstream.may_answer.clear()
        monkeypatch.setattr(Beginnings, "_open", fail)
        monkeypatch.setattr(arrival, "_LEAST_SECONDS", 3600)
        assert await exchange(api.gateway.port, CLOSE) == b"", "it has little time"
        assert await exchange(api.gateway.port, CLOSE + CLOSE) == b"", "it is not usual"
        await until(lambda: is_empty(api))
        upstream.may_answer.set()


async def test_an_error_of_ours_ends_one_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with warm(Upstream()) as api:
        with monkeypatch.context() as patch:
            patch.setattr(QuickLane, "find", lambda *_: 1 / 0)
            assert await exchange(api.gateway.port, CLOSE) == b""
        assert "unexpected error in a request" in caplog.text
        with monkeypatch.context() as patch:
            patch.setattr(KnownResponses, "find", lambda *_: 1 / 0)
            assert (await exchange(api.gateway.port, CLOSE)).startswith(b"HTTP/1.1 500")
        assert (await exchange(api.gateway.port, CLOSE)).endswith(b"ok")
        await until(lambda: is_empty(api))


@pytest.mark.parametrize("first", [CLOSE, KEPT])
async def test_an_error_behind_a_response_is_not_answered(
    monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    async with warm(Upstream()) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        if first == KEPT:  # the next one's connection has a transport
            for _ in range(2):
                writer.write(KEPT)
                await read_head(reader)
                assert await reader.readexactly(2) == b"ok"
        with monkeypatch.context() as patch:
            patch.setattr(api.gateway._engine.pipeline, "count_forwarded", lambda *_: 1 / 0)
            writer.write(first)
            async with asyncio.timeout(30):
                received = await reader.read()
        assert received.count(b"HTTP/1.1 ") == 1
        assert received.endswith(b"\r\n\r\nok")
        writer.close()
        await until(lambda: is_empty(api))
        assert (await exchange(api.gateway.port, CLOSE)).endswith(b"ok")


@pytest.mark.parametrize("is_whole", [True, False])
async def test_an_upstream_that_ends_while_a_connection_grows_is_met_once(
    monkeypatch: pytest.MonkeyPatch, *, is_whole: bool
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        may_open = asyncio.Event()
        begin = Beginnings._open

        async def wait(*args: Any) -> None:
            await may_open.wait()
            await begin(*args)

        monkeypatch.setattr(Beginnings, "_open", wait)
        upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nok" % (
            2 if is_whole else 3
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(KEPT)
        growing = api.gateway._engine._arrivals._growing
        await until(lambda: growing and next(iter(growing))._steps)
        steps = next(iter(growing))._steps
        # As one behind TLS does that was told the end with the response.
        next(iter(growing)).quick._end.transport.abort()
        await until(lambda: len(steps) == 2)
        may_open.set()
        await until(lambda: not growing)
        async with asyncio.timeout(30):
            if is_whole:
                writer.write(CLOSE.replace(b"/a", b"/none"))
            received = await reader.read()
        assert received.count(b"HTTP/1.1 200 OK") == 1
        assert received.count(b"HTTP/1.1 404") == received.count(b"HTTP/1.1 ") - 1 == is_whole
        writer.close()
        await until(lambda: is_empty(api))
        assert api.gateway._engine.client.pool.users == 0


async def test_the_head_of_a_second_request_has_the_time_of_a_head() -> None:
    async with warm(Upstream(), head_seconds=0.2) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        async with asyncio.timeout(30):
            writer.write(KEPT)
            await read_head(reader)
            assert await reader.readexactly(2) == b"ok"
            writer.write(b"GET /a HTTP")
            assert await reader.read() == b""
        writer.close()
        await until(lambda: is_empty(api))


@contextmanager
def nobody_reads(api: Api) -> Iterator[None]:
    """What comes stays where it is, as what comes behind a look at all connections does."""
    loop, arrivals = asyncio.get_running_loop(), api.gateway._engine._arrivals
    loop.remove_reader(arrivals._epoll.fileno())
    try:
        yield
    finally:
        if api.gateway._engine._arrivals is not None:
            loop.add_reader(arrivals._epoll.fileno(), arrivals._read)


@pytest.mark.parametrize("behind", [b"", b"GET", CLOSE * 100])
async def test_bytes_behind_a_last_request_that_nobody_reads_reset_no_response(
    transports: list[FastConnection], behind: bytes
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        transports.clear()
        upstream.may_answer.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(CLOSE)
        await upstream.asked.acquire()
        (arrived,) = api.gateway._engine._arrivals.all()
        with nobody_reads(api):
            writer.write(behind)
            await until(lambda: arrived._has_unread == bool(behind))
            upstream.may_answer.set()
            async with asyncio.timeout(30):
                received = await reader.read()
        assert received.count(b"HTTP/1.1 ") == 1
        assert received.endswith(b"\r\n\r\nok")
        assert bool(transports) is bool(behind), "one that is closed at once needs none"
        writer.close()
        await until(lambda: is_empty(api))


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("path", [b"/a", b"/health", b"/none"])
async def test_a_request_that_has_come_is_answered_when_the_gateway_stops(
    path: bytes, *, is_kept: bool
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        engine = api.gateway._engine
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        async with asyncio.timeout(30):
            if is_kept:
                writer.write(KEPT)
                await read_head(reader)
                await reader.readexactly(2)
            await until(engine._arrivals.all)
            (arrived,) = engine._arrivals.all()
            with nobody_reads(api):
                writer.write(KEPT.replace(b"/a", path))
                await until(lambda: arrived._has_unread)
                await api.gateway.stop(60)
            received = await reader.read()
        assert received.startswith(b"HTTP/1.1 404" if path == b"/none" else b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("sent", [b"GET /a HT", b""])
async def test_a_gateway_that_stops_does_not_wait_long_for_a_head(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(arrival, "LINGERING_SECONDS", 0.1)
    async with warm(Upstream()) as api:
        arrivals = api.gateway._engine._arrivals
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        await until(arrivals.all)
        (arrived,) = arrivals.all()
        with nobody_reads(api):
            writer.write(sent)
            await until(lambda: arrived._has_unread == bool(sent))
            async with asyncio.timeout(30):
                await api.gateway.stop(600)
                assert await reader.read() == b""
        writer.close()


async def test_connections_of_ipv6_arrive_alike(transports: list[FastConnection]) -> None:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running(engine="fast", host="::1") as api:
        await api.route(url)
        await api.session.close()
        transports.clear()
        for count in range(3):
            reader, writer = await asyncio.open_connection("::1", api.gateway.port)
            writer.write(CLOSE)
            if count == 2:
                upstream.may_answer.clear()
                await upstream.asked.acquire()
                (arrived,) = api.gateway._engine._arrivals.all()
                assert arrived.client_address == "::1"
                upstream.may_answer.set()
            else:
                await upstream.asked.acquire()
            async with asyncio.timeout(30):
                assert (await reader.read()).endswith(b"\r\n\r\nok")
            writer.close()
        assert len(transports) == 1, "that of the first, for which there was no upstream"
        await until(lambda: is_empty(api))


async def test_want_of_descriptors_ends_idle_arrivals_and_nothing_at_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        engine, port = api.gateway._engine, api.gateway.port
        engine._listener._pause_seconds = 0.01
        upstream.may_answer.clear()
        busy, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CLOSE)
        await upstream.asked.acquire()
        idle, other = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: len(engine._arrivals.all()) == 2)
        late = socket.socket()
        late.setblocking(False)
        with late, no_descriptors_left():
            await asyncio.get_running_loop().sock_connect(late, ("127.0.0.1", port))
            async with asyncio.timeout(30):
                assert await idle.read() == b"", "it made room"
            await until(lambda: len(engine._arrivals.all()) == 2)
            upstream.may_answer.set()
            async with asyncio.timeout(30):
                assert (await busy.read()).endswith(b"\r\n\r\nok")
        assert "no connection can be accepted: Too many open files" in caplog.text
        assert not [one for one in caplog.records if one.exc_info]
        for end in (writer, other):
            end.close()
        await until(lambda: is_empty(api))
        assert (await exchange(port, CLOSE)).endswith(b"ok")


@pytest.mark.heavy
async def test_9000_idle_connections_cost_little_and_hinder_nobody(
    transports: list[FastConnection],
) -> None:
    """As many as both ends of fit under the limit of files of usual machines."""
    count = 9_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * count + 500:
        pytest.skip("for want of file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bounds = {"max_connections": count + 10, "connections_per_client": count + 10}
    loop, ends = asyncio.get_running_loop(), []
    try:
        async with warm(Upstream(), **bounds) as api:
            transports.clear()
            arrivals, port = api.gateway._engine._arrivals, api.gateway.port
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(count):
                ends.append(socket.socket())
                ends[-1].setblocking(False)
                await loop.sock_connect(ends[-1], ("127.0.0.1", port))
            await until(lambda: len(arrivals.all()) == count)
            held = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert held / count < 4_000, "bytes, of which the client's end has some"
            assert (await exchange(port, CLOSE)).endswith(b"ok")
            assert len(transports) <= 1, "one where the connection to the upstream ended meanwhile"
            for end in ends:
                end.close()
            await until(lambda: is_empty(api))
    finally:
        tracemalloc.stop()
        for end in ends:
            end.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
