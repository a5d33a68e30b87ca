"""What both engines have in common: connections of clients, and those to upstreams."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tests.proxy.conftest import Upstream, running
from tests.proxy.raw import exchange, read_head, serving

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
OLD = b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n"


async def read_body(reader: asyncio.StreamReader) -> bytes:
    head = (await read_head(reader)).lower()
    assert head.startswith(b"http/1.1 200"), head
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))


async def test_requests_of_both_engines_take_turns_on_one_connection_to_the_upstream() -> None:
    calls = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        while True:
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serving(talk) as url, running(engine="fast") as api:
        await api.route(url)
        for sent in (GET, OLD, GET, OLD):
            sent = sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            assert (await exchange(api.gateway.port, sent)).endswith(b"ok")
    assert calls == 1


async def test_a_connection_is_handed_over_with_what_it_has_sent(upstream: Upstream) -> None:
    async with running(engine="fast") as api:
        await api.route(upstream.url)
        health = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await exchange(api.gateway.port, GET + GET + health)
        assert [one.target for one in upstream.seen] == ["/", "/"]
        assert answer.count(b"HTTP/1.1 200") == 3
        assert answer.endswith(b"OK")
        server = api.gateway._engine._server
        assert len(server.shares) <= 1, "nothing but the client of the tests is counted"


async def test_pipelined_requests_are_answered_in_their_order(upstream: Upstream) -> None:
    first = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/0":
            first.set()
            await asyncio.sleep(0.01)
        return web.Response(text=request.raw_path)

    upstream.answer = answer
    async with running(engine="fast") as api:
        await api.route(upstream.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        async with asyncio.timeout(30):
            writer.write(b"".join(GET.replace(b"/a", b"/a/%d" % n) for n in range(20)))
            await first.wait()
            assert [await read_body(reader) for _ in range(20)] == [b"/%d" % n for n in range(20)]
        writer.close()


async def test_requests_behind_one_at_work_are_read_up_to_a_bound() -> None:
    """A client that sends on and on while its first request waits fills no memory."""
    may_answer = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await may_answer.wait()

    async with serving(talk) as url, running(engine="fast") as fast:
        await fast.route(url)
        await fast.session.close()
        _, writer = await asyncio.open_connection("127.0.0.1", fast.gateway.port)
        writer.write(GET + GET * 400_000)
        async with asyncio.timeout(30):
            while not (connections := list(fast.gateway._engine.connections)):
                await asyncio.sleep(0)
            while connections[0].transport.is_reading():
                await asyncio.sleep(0)
        assert len(connections[0]._pending) < 1 << 20
        writer.transport.abort()
        may_answer.set()


async def test_a_connection_ends_after_its_request_when_the_gateway_stops(
    upstream: Upstream,
) -> None:
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await may_answer.wait()
        return web.Response(text="done")

    upstream.answer = answer
    async with running(engine="fast") as api:
        await api.route(upstream.url)
        await api.session.close()
        idle, other = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        busy, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(GET)
        await arrived.wait()
        stopping = asyncio.create_task(api.gateway.stop(60))
        async with asyncio.timeout(30):
            assert await idle.read() == b""
            may_answer.set()
            received = await busy.read()
            await stopping
        assert received.startswith(b"HTTP/1.1 200")
        assert b"Connection: close\r\n" in received
        assert received.endswith(b"done")
        for end in (writer, other):
            end.close()
            await end.wait_closed()
