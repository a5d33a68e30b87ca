"""What a turn of the event loop sends at its end: together, and whatever happens before."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from stoa_proxy.engines.fast.quick_exchange import QuickExchange
from stoa_proxy.engines.fast.quick_responses import KnownResponses
from stoa_proxy.engines.fast.turn import Turn

from tests.proxy.conftest import Api, running
from tests.proxy.engines.fast.test_arrivals import (
    ANSWER,
    CLOSE,
    KEPT,
    OK,
    Upstream,
    is_empty,
    until,
    warm,
)
from tests.proxy.raw import exchange, read_head


class Held:
    """Turns that end when they are told to, as if the event loop had much else to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.turns: list[Turn] = []
        self.errors = 0

    def hold(self) -> None:
        """Let no turn end by itself any more."""
        self._patch.setattr(Turn, "_be_due", lambda turn: self.turns.append(turn))

    def end(self) -> None:
        """End those that are due."""
        due, self.turns[:] = list(self.turns), []
        for turn in due:
            turn.end()

    def release(self) -> None:
        """Let turns end by themselves again."""
        self._patch.undo()
        self.end()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Held]:
    made = Held(monkeypatch)
    yield made
    said = [record.getMessage() for record in caplog.get_records("call")]
    assert said.count("unexpected error in a request") == made.errors


async def kept_connection(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a client's connection that has a transport: it has served two requests."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    for _ in range(2):
        writer.write(KEPT)
        await read_head(reader)
        assert await reader.readexactly(2) == b"ok"
    return reader, writer


def connections(api: Api) -> list[Any]:
    """Those of clients that have transports."""
    engine: Any = api.gateway._engine
    return list(engine.connections)


async def response_came(api: Api) -> None:
    """Wait until the response of the only request at work has come."""
    (connection,) = connections(api)
    await until(lambda: connection._exchange is not None and connection._exchange._came)


async def ask(held: Held, writer: asyncio.StreamWriter) -> None:
    """Let no turn end any more, and wait until one has a request."""
    held.hold()
    writer.write(KEPT)
    await until(lambda: held.turns)


async def get_response(held: Held, api: Api) -> None:
    """Let the request be sent, and wait until the response has come."""
    held.end()
    await response_came(api)


async def test_requests_and_responses_wait_for_the_end_of_a_turn(held: Held) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        reader, writer = await kept_connection(api)
        await upstream.asked.acquire()
        await upstream.asked.acquire()
        await ask(held, writer)
        assert upstream.asked.locked(), "nothing is sent before"
        held.end()
        await upstream.asked.acquire()
        await response_came(api)
        assert not reader._buffer  # type: ignore[attr-defined]
        held.end()
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
        writer.close()
        held.release()
        await until(lambda: is_empty(api))


async def test_many_requests_of_one_turn_all_get_their_own_response(held: Held) -> None:
    async with warm(Upstream()) as api:
        clients = [await kept_connection(api) for _ in range(8)]
        held.hold()
        for _ in range(3):
            for _, writer in clients:
                writer.write(KEPT)
            for reader, _ in clients:
                read = asyncio.create_task(read_head(reader))
                while not read.done():
                    held.end()
                    await asyncio.sleep(0)
                assert (await read).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == b"ok"
        for _, writer in clients:
            writer.close()
        held.release()
        await until(lambda: is_empty(api))


@pytest.mark.parametrize("is_sent", [True, False])
async def test_a_client_that_leaves_before_the_end_of_a_turn_takes_nothing_along(
    held: Held, *, is_sent: bool
) -> None:
    async with warm(Upstream()) as api:
        _, writer = await kept_connection(api)
        await ask(held, writer)
        if is_sent:
            held.end()
            await response_came(api)
        writer.transport.abort()
        await until(lambda: is_empty(api))
        held.release()
        assert (await exchange(api.gateway.port, CLOSE)).endswith(b"ok")
        await until(lambda: is_empty(api))


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_response_that_came_is_passed_on_though_its_upstream_has_ended(
    held: Held, *, is_whole: bool
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        reader, writer = await kept_connection(api)
        await upstream.asked.acquire()
        await upstream.asked.acquire()
        upstream.answer = OK if is_whole else ANSWER % (3, b"ok")
        await ask(held, writer)
        await get_response(held, api)
        (connection,) = connections(api)
        # Its end is met before the turn ends.
        connection._exchange._end.transport.abort()
        await until(lambda: not getattr(connection._exchange, "_is_sent", False))
        held.release()
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        body = await reader.read(3) if is_whole else await reader.read()
        assert body == b"ok"
        await upstream.asked.acquire()
        assert upstream.asked.locked(), "it is not asked again"
        writer.close()
        upstream.answer = OK
        assert (await exchange(api.gateway.port, CLOSE)).endswith(b"ok")
        await until(lambda: is_empty(api))


async def test_an_upstream_that_ends_before_a_request_is_sent_is_replaced(held: Held) -> None:
    async with warm(Upstream()) as api:
        reader, writer = await kept_connection(api)
        await ask(held, writer)
        (connection,) = connections(api)
        connection._exchange._end.transport.abort()
        held.release()
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
        writer.close()
        await until(lambda: is_empty(api))


@pytest.mark.parametrize(
    ("answer", "status"), [(OK, b"200"), (b"HTTP/1.1 200 OK\r\nContent-Le", b"504")]
)
async def test_what_came_of_a_response_came_in_time(
    held: Held, answer: bytes, status: bytes
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        reader, writer = await kept_connection(api)
        upstream.answer = answer
        await ask(held, writer)
        await get_response(held, api)
        (connection,) = connections(api)
        connection.timer.set(0)  # long ago
        assert (await read_head(reader)).startswith(b"HTTP/1.1 " + status)
        writer.close()
        held.release()
        await until(lambda: is_empty(api))


async def test_a_response_with_more_than_it_promised_is_refused_as_ever(held: Held) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        reader, writer = await kept_connection(api)
        upstream.answer = OK + b"more than it promised"
        await ask(held, writer)
        await get_response(held, api)
        held.release()
        assert (await read_head(reader)).startswith(b"HTTP/1.1 502")
        writer.close()
        upstream.answer = OK
        assert (await exchange(api.gateway.port, CLOSE)).endswith(b"ok")
        await until(lambda: is_empty(api))


async def test_a_response_that_came_is_sent_before_its_connection_gets_a_transport(
    held: Held,
) -> None:
    upstream = Upstream()
    async with warm(upstream) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        await ask(held, writer)
        held.end()
        engine: Any = api.gateway._engine
        (arrival,) = engine._arrivals.all()
        await until(lambda: arrival.quick._came)
        writer.write(KEPT)  # more than it waits for
        async with asyncio.timeout(20):
            assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
        held.release()
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
        writer.close()
        await until(lambda: is_empty(api))


async def test_requests_sent_ahead_are_answered_in_their_order(held: Held) -> None:
    async with warm(Upstream()) as api:
        reader, writer = await kept_connection(api)
        held.hold()
        writer.write(KEPT + KEPT.replace(b"/a", b"/keyed") + KEPT)
        statuses = []
        for _ in range(3):
            read = asyncio.create_task(read_head(reader))
            while not read.done():
                held.end()
                await asyncio.sleep(0)
            head = await read
            statuses.append(head.split()[1])
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(length)
        assert statuses == [b"200", b"401", b"200"]
        writer.close()
        held.release()
        await until(lambda: is_empty(api))


async def test_one_connection_that_cannot_be_written_to_takes_no_other_along(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    async with warm(Upstream()) as api:
        _, writer = await kept_connection(api)
        other_reader, other = await kept_connection(api)
        broken, _ = sorted(
            connections(api),
            key=lambda one: (
                one.transport.get_extra_info("peername") != writer.get_extra_info("sockname")
            ),
        )

        def refuse(_: bytes) -> None:
            raise RuntimeError("the handler is closed")

        broken.write = refuse
        held.hold()
        writer.write(KEPT)
        other.write(KEPT)
        read = asyncio.create_task(read_head(other_reader))
        while not read.done():
            held.end()
            await asyncio.sleep(0)
        assert (await read).startswith(b"HTTP/1.1 200")
        held.errors = 1
        while "unexpected error in a request" not in caplog.text:
            held.end()
            await asyncio.sleep(0)
        writer.close()
        other.close()
        held.release()
        await until(lambda: is_empty(api))


async def test_a_request_whose_failure_fails_takes_no_other_along(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with warm(Upstream()) as api:
        clients = [await kept_connection(api) for _ in range(2)]
        for _, writer in clients:  # at once, so that there is a connection to the upstream for each
            writer.write(KEPT)
        for reader, _ in clients:
            await read_head(reader)
            assert await reader.readexactly(2) == b"ok"
        held.hold()
        for _, writer in clients:
            writer.write(KEPT)
        await until(lambda: all(one._exchange is not None for one in connections(api)))
        held.end()
        exchanges = [one._exchange for one in connections(api)]
        await until(lambda: all(one._came for one in exchanges))
        find, seen = KnownResponses.find, []

        def fail_once(*asked: Any) -> Any:
            seen.append(asked)
            return 1 / 0 if len(seen) == 1 else find(*asked)

        with monkeypatch.context() as patch:
            patch.setattr(KnownResponses, "find", fail_once)
            patch.setattr(QuickExchange, "fail", lambda *_: 1 / 0)
            held.errors = 1
            held.end()
        reads = [asyncio.create_task(reader.read(1)) for reader, _ in clients]
        done, left = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [b"H"]
        for task in left:
            task.cancel()
        for _, writer in clients:
            writer.transport.abort()
        held.release()
        await until(lambda: is_empty(api))


CHECK = b"GET /authz/a HTTP/1.1\r\nHost: x\r\nX-API-Key: k1\r\n\r\n"


@asynccontextmanager
async def sidecar() -> AsyncIterator[Api]:
    async with running(engine="fast", mode="sidecar") as api:
        await api.route("http://10.9.8.7", "/a")
        await api.session.close()
        yield api


async def test_checks_are_answered_at_the_end_of_a_turn(held: Held) -> None:
    async with sidecar() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        held.hold()
        writer.write(CHECK)
        await until(lambda: held.turns)
        assert not reader._buffer  # type: ignore[attr-defined]
        writer.write(CHECK.replace(b"/a", b"/none"))  # waits for its turn
        held.end()
        assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
        held.release()
        assert (await read_head(reader)).startswith(b"HTTP/1.1 404")
        writer.close()
        await until(lambda: not connections(api))


async def test_a_caller_that_leaves_before_its_check_is_answered_is_forgotten(
    held: Held,
) -> None:
    async with sidecar() as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        held.hold()
        writer.write(CHECK)
        await until(lambda: held.turns)
        (connection,) = connections(api)
        writer.transport.abort()
        await until(lambda: not connections(api))
        held.release()
        assert connection.timer.deadline == math.inf, "nothing is waited for any more"
        last = CHECK[:-2] + b"Connection: close\r\n\r\n"
        assert (await exchange(api.gateway.port, last)).startswith(b"HTTP/1.1 200")


async def test_a_check_is_answered_though_the_gateway_stops(held: Held) -> None:
    async with sidecar() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        held.hold()
        writer.write(CHECK)
        await until(lambda: held.turns)
        stopped = asyncio.create_task(api.gateway.stop(20))
        (connection,) = connections(api)
        await until(lambda: connection.is_closing)
        held.release()
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        await stopped
        writer.close()
