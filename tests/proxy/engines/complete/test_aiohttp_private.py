"""Each private name of aiohttp that the data plane uses is there and does what it is needed for.

A failure names the reason: look at aiohttp's new code, change `aiohttp_private` alone, and only
then raise the pin in pyproject.toml.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector
from aiohttp.http import HttpVersion11
from aiohttp.web_protocol import RequestHandler
from stoa_proxy.engines.complete import aiohttp_private
from yarl import URL

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
OWNERS: dict[str, type] = {
    "RequestHandler": RequestHandler, "BaseRequest": web.BaseRequest, "Server": web.Server,
    "BaseConnector": BaseConnector, "TCPConnector": aiohttp.TCPConnector,
    "ResponseHandler": ResponseHandler, "BaseProtocol": BaseProtocol,
    "StreamResponse": web.StreamResponse,
}  # fmt: skip


def reason(name: str) -> str:
    return f"aiohttp's {name} has changed; it {aiohttp_private.REASONS[name]}"


class Server(aiohttp_private.HandlerFactory):
    """A server that remembers the last connection's handler."""

    last: RequestHandler

    def __call__(self) -> RequestHandler:
        self.last = self.make_handler(RequestHandler)
        return self.last


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[Server, Any, Any]]:
    """A server with `handler`, and a client's reader and writer."""
    server = Server(handler)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield server, reader, writer
    finally:
        writer.close()
        listening.close()
        await server.shutdown(0.1)


async def respond_ok(request: web.BaseRequest) -> web.Response:
    return web.Response(text="ok")


async def read_response(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\nok")


def test_no_other_module_uses_a_private_name_of_aiohttp() -> None:
    names = {name.partition(".")[2] for name in aiohttp_private.REASONS} - {"_loop"}
    folder = Path(aiohttp_private.__file__).parent
    found = {
        (path.name, node.attr)
        for path in folder.rglob("*.py")
        if path.name != "aiohttp_private.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in names
    }
    assert found == set()


def test_each_name_that_the_module_uses_has_its_reason() -> None:
    tree = ast.parse(inspect.getsource(aiohttp_private))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr[1] != "_"
    }
    used -= {"_on_connect"}  # our own
    assert used == {name.partition(".")[2] for name in aiohttp_private.REASONS}


@pytest.mark.parametrize("name", aiohttp_private.REASONS)
def test_an_owner_names_it(name: str) -> None:
    owner, attribute = name.split(".")
    source = inspect.getsource(OWNERS[owner])
    assert hasattr(OWNERS[owner], attribute) or f"self.{attribute}" in source, reason(name)


async def test_waiter_tells_a_connection_between_two_requests() -> None:
    seen: list[bool] = []

    async def record(request: web.BaseRequest) -> web.Response:
        seen.append(aiohttp_private.is_waiting_for_request(server.last))
        return web.Response(text="ok")

    async with serving(record) as (server, reader, writer):
        writer.write(GET)
        await read_response(reader)
        while not aiohttp_private.is_waiting_for_request(server.last):
            await asyncio.sleep(0)
        assert seen == [False], reason("RequestHandler._waiter")


async def test_request_count_tells_a_connection_without_any_request() -> None:
    async with serving(respond_ok) as (server, reader, writer):
        while not hasattr(server, "last") or server.last.transport is None:
            await asyncio.sleep(0)
        assert not aiohttp_private.has_begun_request(server.last), reason(
            "RequestHandler._request_count"
        )
        writer.write(GET)
        await read_response(reader)
        assert aiohttp_private.has_begun_request(server.last), reason(
            "RequestHandler._request_count"
        )


async def test_task_handler_is_the_task_that_handles_a_request() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with serving(hang) as (server, _, writer):
        writer.write(GET)
        await asyncio.wait_for(begun.wait(), 30)
        aiohttp_private.cancel_request(server.last)
        async with asyncio.timeout(30):
            await ended.wait()
    assert ended.is_set(), reason("RequestHandler._task_handler")


async def test_current_request_has_the_body_that_is_being_received() -> None:
    bodies: list[object] = []

    async def record(request: web.BaseRequest) -> web.Response:
        bodies.append((aiohttp_private.find_request_body(server.last), request.content))
        return web.Response(text="ok")

    async with serving(record) as (server, reader, writer):
        writer.write(POST + b"12345")
        await read_response(reader)
    ((found, content),) = bodies  # type: ignore[misc]
    assert found is content, reason("RequestHandler._current_request")


async def test_messages_hold_a_request_that_is_not_handled_yet() -> None:
    begun, going = asyncio.Event(), asyncio.Event()
    bodies: list[object] = []

    async def wait(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            begun.set()
            await going.wait()
        else:
            bodies.append(request.content)
        return web.Response(text="ok")

    async with serving(wait) as (server, reader, writer):
        writer.write(GET)
        await asyncio.wait_for(begun.wait(), 30)
        writer.write(POST)
        waiting = server.last
        current = aiohttp_private.find_request_body(waiting)
        async with asyncio.timeout(30):
            while (body := aiohttp_private.find_request_body(waiting)) is current:
                await asyncio.sleep(0)
        going.set()
        writer.write(b"12345")
        await read_response(reader)
        await read_response(reader)
    assert bodies == [body], reason("RequestHandler._messages")


async def test_lingering_time_0_closes_behind_a_response_whatever_is_still_sent() -> None:
    async def refuse(request: web.BaseRequest) -> web.Response:
        aiohttp_private.close_without_lingering(server.last)
        return web.Response(text="ok")

    async with serving(refuse) as (server, reader, writer):
        writer.write(POST)
        async with asyncio.timeout(30):
            await reader.read()
        assert server.last._lingering_time == 0.0, reason("RequestHandler._lingering_time")


async def test_version_decides_how_a_request_is_answered() -> None:
    async def upgrade(request: web.BaseRequest) -> web.Response:
        aiohttp_private.set_version(request, HttpVersion11)
        return web.Response(text="ok")

    async with serving(upgrade) as (_, reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await read_response(reader)
    assert answer.startswith(b"HTTP/1.1 200"), reason("BaseRequest._version")


async def test_loop_and_kwargs_make_a_handler_as_the_server_makes_its_own() -> None:
    server = Server(respond_ok, keepalive_timeout=7.0)
    made, own = server.make_handler(RequestHandler), web.Server.__call__(server)
    assert isinstance(own, RequestHandler)
    assert made.keepalive_timeout == own.keepalive_timeout == 7.0, reason("Server._kwargs")
    assert made._loop is own._loop, reason("Server._loop")


async def test_factory_makes_the_protocols_of_upstream_connections() -> None:
    made: list[object] = []

    class Protocol(ResponseHandler):
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(loop)
            made.append(self)

    async with serving(respond_ok) as (_, _, writer):
        port = writer.get_extra_info("peername")[1]
        url = URL(f"http://127.0.0.1:{port}/")
        connector = aiohttp_private.ProtocolConnector(Protocol)
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(2):
                async with session.get(url) as response:
                    assert await response.read() == b"ok"
    assert len(made) == 1, reason("BaseConnector._factory")


async def test_reading_paused_says_whether_a_reader_stopped_an_upstream_connection() -> None:
    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"x" * 1_000_000)

    async with serving(stream) as (_, _, writer):
        port = writer.get_extra_info("peername")[1]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/") as response,
        ):
            assert response.connection is not None
            protocol = response.connection.protocol
            assert protocol is not None
            async with asyncio.timeout(30):
                while not aiohttp_private.is_paused(protocol):
                    await asyncio.sleep(0)
            assert len(await response.read()) == 1_000_000
            assert not aiohttp_private.is_paused(protocol), reason("BaseProtocol._reading_paused")


async def test_payload_is_the_body_that_a_response_is_read_from() -> None:
    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await going.wait()
        return response

    going = asyncio.Event()
    async with serving(stream) as (_, _, writer):
        port = writer.get_extra_info("peername")[1]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/") as response,
        ):
            protocol = response.connection.protocol  # type: ignore[union-attr]
            body = aiohttp_private.find_response_body(protocol)  # type: ignore[arg-type]
            going.set()
            assert body is response.content, reason("ResponseHandler._payload")
            await response.read()


async def test_drain_helper_waits_for_a_peer_that_does_not_read() -> None:
    drained = asyncio.Event()
    begun = asyncio.Event()

    async def send(request: web.BaseRequest) -> web.Response:
        transport = server.last.transport
        assert transport is not None
        transport.set_write_buffer_limits(high=1)
        transport.write(b"x" * 8_000_000)
        begun.set()
        await aiohttp_private.drain(server.last)  # type: ignore[arg-type]
        drained.set()
        return web.Response(text="ok")

    async with serving(send) as (server, reader, writer):
        writer.write(GET)
        await asyncio.wait_for(begun.wait(), 30)
        assert not drained.is_set(), reason("BaseProtocol._drain_helper")
        async with asyncio.timeout(30):
            await reader.readexactly(8_000_000)
            await drained.wait()


@pytest.mark.parametrize("kind", ["stream", "response"])
async def test_prepare_headers_can_leave_the_content_type_out(kind: str) -> None:
    async def untyped(request: web.BaseRequest) -> web.StreamResponse:
        if kind == "response":
            return aiohttp_private.UntypedResponse(body=b"ok")
        response = aiohttp_private.UntypedStream()
        response.content_length = 2
        await response.prepare(request)
        await response.write(b"ok")
        return response

    async with serving(untyped) as (_, reader, writer):
        writer.write(GET)
        answer = await read_response(reader)
    assert b"content-type" not in answer.lower(), reason("StreamResponse._prepare_headers")
