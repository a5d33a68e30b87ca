"""WebSocket on ordinary routes: a handshake like any request, then bytes both ways."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.http.heads import RequestHead, is_websocket_upgrade, lower_names
from stoa_proxy.http.websocket import PROTOCOL_ERROR, TOO_BIG, FrameRefused, Frames, close_frame

from tests.proxy.conftest import Api, Upstream, running
from tests.proxy.raw import exchange, read_head, serving

KEY = {"X-API-Key": "k1"}
HANDSHAKE = (
    b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Talker:
    """A WebSocket upstream: echoes, and remembers what it saw and how it was closed."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.pings: list[bytes] = []
        upstream.answer = self.talk

    async def talk(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            protocols=("chat.v2",), autoping=False, max_msg_size=0, compress=False
        )
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.PING:
                    self.pings.append(message.data)
                    await socket.pong(message.data)
                elif message.data == "bye":
                    await socket.close(code=4001, message=b"as asked")
                elif message.type is WSMsgType.TEXT:
                    await socket.send_str(message.data)
                else:
                    await socket.send_bytes(message.data)
        finally:
            if not self.closed.done():
                self.closed.set_result(socket.close_code)
        return socket


@pytest.fixture
async def talker(upstream: Upstream) -> Talker:
    return Talker(upstream)


def connect(api: Api, path: str = "/a/socket?x=%20", **kwargs: Any) -> Any:
    return api.session.ws_connect(
        api.gateway.base_url + path, max_msg_size=0, autoclose=False, **kwargs
    )


async def test_messages_pass_both_ways_through_the_whole_pipeline(api: Api, talker: Talker) -> None:
    auth = {"in": "header", "name": "X-Backend-Key", "value": "sekret"}
    plans = [{"name": "gold", "per_minute": 2}]
    await api.route(talker.upstream.url + "/base", plans=plans, backend_auth=auth)
    await api.consumer(subscriptions=[{"api_id": "r1", "plan": "gold"}])
    sent = {**KEY, "X-User-Id": "root"}
    async with connect(api, "/a/s%2Fx?y=1", headers=sent, protocols=["chat.v2"]) as socket:
        assert socket.protocol == "chat.v2"
        await socket.send_str("hé")
        assert await socket.receive_str() == "hé"
        for size in (0, 125, 126, 65_535, 65_536, 3_000_000):
            await socket.send_bytes(b"x" * size)
            assert len(await socket.receive_bytes()) == size
    seen = talker.upstream.seen[0]
    assert seen.target == "/base/s%2Fx?y=1"
    assert seen.all("X-Backend-Key") == ["sekret"]
    assert seen.all("X-API-Key") == seen.all("X-User-Id") == []
    assert seen.all("X-Consumer-Id") == ["c1"]
    assert seen.all("Connection") == ["Upgrade"]


async def test_a_handshake_needs_what_any_request_needs(api: Api, talker: Talker) -> None:
    await api.route(talker.upstream.url)
    await api.policy("api_key", {})
    await api.policy("rate_limit", {"requests": 1, "window": "1m"})
    await api.consumer()
    for headers, status in (({}, 401), ({"X-API-Key": "any"}, 401), (KEY, 101), (KEY, 429)):
        try:
            async with connect(api, headers=headers):
                found = 101
        except aiohttp.WSServerHandshakeError as error:
            found = error.status
        assert found == status
    assert len(talker.upstream.seen) == 1


async def test_close_codes_and_pings_pass_both_ways(api: Api, talker: Talker) -> None:
    await api.route(talker.upstream.url)
    async with connect(api, autoping=False) as socket:
        await socket.ping(b"are you there")
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.PONG, b"are you there")
        await socket.send_str("bye")
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "as asked")
    assert talker.pings == [b"are you there"]
    other = Talker(talker.upstream)
    async with connect(api) as socket:
        await socket.close(code=4002)
    async with asyncio.timeout(30):
        assert await other.closed == 4002


async def test_an_upstream_that_goes_ends_the_clients_connection(api: Api) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(AGREED + b"\x81\x02hi")

    async with serving(leave) as url:
        await api.route(url)
        answer = await exchange(api.gateway.port, HANDSHAKE)
    head, _, frames = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert frames == b"\x81\x02hi"


async def test_a_client_that_vanishes_ends_the_upstreams_connection(
    api: Api, talker: Talker
) -> None:
    await api.route(talker.upstream.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(HANDSHAKE)
    async with asyncio.timeout(30):
        assert (await read_head(reader)).startswith(b"HTTP/1.1 101")
        writer.transport.abort()
        assert await talker.closed == 1006


async def test_frames_sent_right_behind_the_handshake_are_not_lost(
    api: Api, talker: Talker
) -> None:
    await api.route(talker.upstream.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(HANDSHAKE + b"\x81\x82\0\0\0\0hi" + close_frame(1000, masked=True))
    async with asyncio.timeout(30):
        await read_head(reader)
        assert await reader.readexactly(4) == b"\x81\x02hi"
        assert await talker.closed == 1000
        assert (await reader.read()).startswith(b"\x88\x02\x03\xe8")
    writer.close()
    await writer.wait_closed()


async def test_a_message_over_the_bound_closes_both_ends_with_1009(upstream: Upstream) -> None:
    talker = Talker(upstream)
    async with running(max_websocket_message=1000) as api:
        await api.route(upstream.url)
        async with connect(api) as socket:
            await socket.send_str("x" * 1000)
            assert await socket.receive_str() == "x" * 1000
            await socket.send_str("x" * 1001)
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, TOO_BIG)
        async with asyncio.timeout(30):
            assert await talker.closed == TOO_BIG


async def test_a_silent_connection_ends_after_the_idle_time(upstream: Upstream) -> None:
    talker = Talker(upstream)
    async with running(idle_seconds=0.05) as api:
        await api.route(upstream.url)
        async with connect(api) as socket:
            async with asyncio.timeout(30):
                message = await socket.receive()
                assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
                await socket.close()
                assert await talker.closed == 1001


async def test_a_connection_that_is_used_outlives_the_idle_time(upstream: Upstream) -> None:
    Talker(upstream)
    loop = asyncio.get_running_loop()
    async with running(idle_seconds=3.0) as api:
        await api.route(upstream.url)
        async with connect(api) as socket:
            end = loop.time() + 4.5
            while loop.time() < end:
                await socket.send_str("x")
                assert await socket.receive_str() == "x"
                await asyncio.sleep(0.1)


async def test_stopping_says_goodbye_and_does_not_wait_for_ever(upstream: Upstream) -> None:
    talker = Talker(upstream)
    async with running() as api:
        await api.route(upstream.url)
        async with connect(api) as socket:
            stopping = asyncio.create_task(api.gateway.stop(60))
            async with asyncio.timeout(30):
                message = await socket.receive()
                assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
                await socket.close()
                await stopping
                assert await talker.closed == 1001


async def test_an_end_that_never_answers_a_close_does_not_hold_up_a_stop(api: Api) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(AGREED)
        await asyncio.Event().wait()

    async with serving(hang) as url:
        await api.route(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(HANDSHAKE)
        async with asyncio.timeout(30):
            await read_head(reader)
            await api.gateway.stop(0.1)
            assert await reader.read() == close_frame(1001, masked=False)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("status", [200, 403, 426, 503])
async def test_an_upstream_that_does_not_agree_is_heard(
    api: Api, upstream: Upstream, status: int
) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text="no socket here", headers={"X-Why": "policy"})

    upstream.answer = refuse
    await api.route(upstream.url)
    answer = await exchange(api.gateway.port, HANDSHAKE)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert b"X-Why: policy" in answer
    assert answer.endswith(b"no socket here")


@pytest.mark.parametrize(
    "agreed",
    [
        AGREED.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"AAAA"),
        AGREED.replace(b"Upgrade: websocket", b"Upgrade: other"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_a_101_that_agrees_to_something_else_is_a_502(api: Api, agreed: bytes) -> None:
    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(agreed)
        await reader.read()

    async with serving(agree) as url:
        await api.route(url)
        assert (await exchange(api.gateway.port, HANDSHAKE)).startswith(b"HTTP/1.1 502")


async def test_an_unsolicited_101_is_a_502(api: Api) -> None:
    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(AGREED)
        await reader.read()

    async with serving(agree) as url:
        await api.route(url)
        assert (await api.get("/a")).status == 502


async def test_an_upgrade_to_anything_else_is_a_plain_request(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    for name in (b"h2c", b"websocket, h2c"):
        sent = HANDSHAKE.replace(b"WebSocket", name, 1)
        assert (await exchange(api.gateway.port, sent)).startswith(b"HTTP/1.1 200")
    assert [seen.all("Upgrade") for seen in upstream.seen] == [[], []]


async def test_a_fallback_takes_over_before_the_upgrade(
    api: Api, upstream: Upstream, closed_url: str
) -> None:
    Talker(upstream)
    await api.route(closed_url, fallback_url=upstream.url)
    async with connect(api) as socket:
        await socket.send_str("x")
        assert await socket.receive_str() == "x"


@pytest.mark.parametrize(
    ("method", "has_body", "headers", "asks"),
    [
        ("GET", False, [("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")], True),
        ("POST", False, [("Connection", "Upgrade"), ("Upgrade", "websocket")], False),
        ("GET", True, [("Connection", "Upgrade"), ("Upgrade", "websocket")], False),
        ("GET", False, [("Connection", "keep-alive"), ("Upgrade", "websocket")], False),
        ("GET", False, [("Connection", "Upgrade"), ("Upgrade", "h2c")], False),
        ("GET", False, [("Connection", "Upgrade")], False),
    ],
)
def test_only_a_whole_handshake_asks_for_a_websocket(
    method: str, has_body: bool, headers: list[tuple[str, str]], asks: bool
) -> None:
    pairs = tuple(headers)
    head = RequestHead(method, "/a", pairs, lower_names(pairs), "127.0.0.1", has_body=has_body)
    assert is_websocket_upgrade(head) is asks


def frame(payload: bytes, opcode: int = 2, *, final: bool = True, masked: bool = True) -> bytes:
    size = len(payload)
    first = bytes([opcode | (0x80 if final else 0)])
    mask = 0x80 if masked else 0
    if size < 126:
        head = first + bytes([mask | size])
    else:
        head = first + bytes([mask | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.integers(1, 50), st.booleans())
def test_frames_pass_unchanged_however_they_arrive(
    parts: list[bytes], size: int, masked: bool
) -> None:
    data = b"".join(
        frame(part, 2 if index == 0 else 0, final=index == len(parts) - 1, masked=masked)
        + frame(b"ping", 9, masked=masked)
        for index, part in enumerate(parts)
    )
    frames = Frames(masked=masked, max_message=sum(map(len, parts)))
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert b"".join(frames.feed(piece) for piece in pieces) == data
    assert frames.is_between


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"x" * 101), TOO_BIG),
        (frame(b"x" * 60, final=False) + frame(b"x" * 60, 0), TOO_BIG),
        (b"\x82\xff" + b"\xff" * 8 + b"\0" * 4, TOO_BIG),
        (frame(b"x", masked=False), PROTOCOL_ERROR),
        (frame(b"x", 3), PROTOCOL_ERROR),
        (frame(b"x" * 126, 9), PROTOCOL_ERROR),
        (frame(b"x", 9, final=False), PROTOCOL_ERROR),
        (frame(b"x", 0), PROTOCOL_ERROR),
        (frame(b"x", final=False) + frame(b"x"), PROTOCOL_ERROR),
    ],
)
def test_a_frame_that_breaks_the_rules_is_not_passed_on(data: bytes, code: int) -> None:
    good = frame(b"good")
    frames = Frames(masked=True, max_message=100)
    with pytest.raises(FrameRefused) as refused:
        frames.feed(good + data)
    assert refused.value.code == code
    assert refused.value.before.startswith(good)
    assert frames.feed(b"anything") == b""
