"""Where requests end: decided before any parser, so that no two readers can disagree."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from stoa_proxy.errors import FramingRefused
from stoa_proxy.http.framing import MAX_HEAD, Framing

from tests.proxy.conftest import Api, Upstream
from tests.proxy.raw import exchange, read_head, serving

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

BAD_HEADS = {
    "both length fields": POST + b"Content-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, the other way": POST + b"Transfer-Encoding: chunked\r\n"
    b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "repeated equal lengths": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "repeated lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a list of lengths": POST + b"Content-Length: 1, 1\r\n\r\nx",
    "a signed length": POST + b"Content-Length: +1\r\n\r\nx",
    "a negative length": POST + b"Content-Length: -1\r\n\r\nx",
    "a hexadecimal length": POST + b"Content-Length: 0x1\r\n\r\nx",
    "a length with blanks inside": POST + b"Content-Length: 1 1\r\n\r\nx",
    "an empty length": POST + b"Content-Length:\r\n\r\nx",
    "a length beyond counting": POST + b"Content-Length: 9999999999999999999\r\n\r\nx",
    "an unknown coding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two coding fields": POST + b"Transfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "a coding in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding after a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": GET + b"X-A: 1\r\n folded\r\n\r\n",
    "a folded first header": b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n",
    "a blank before a colon": GET + b"Content-Length : 5\r\n\r\n",
    "a tab before a colon": GET + b"X-A\t: 5\r\n\r\n",
    "a header without a colon": GET + b"X-A\r\n\r\n",
    "a header without a name": GET + b": x\r\n\r\n",
    "a NUL in a value": GET + b"X-A: a\x00b\r\n\r\n",
    "a NUL in a name": GET + b"X\x00A: ab\r\n\r\n",
    "a NUL in the target": b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bare carriage return": GET + b"X-A: a\rb\r\n\r\n",
    "a bare line feed in the head": b"GET /a HTTP/1.1\r\nHost: x\nX-A: 1\r\n\r\n",
    "bare line feeds alone": b"GET /a HTTP/1.1\nHost: x\n\n",
    "a bare line feed at the end": GET + b"X-A: 1\n\r\n",
    "a missing Host": b"GET /a HTTP/1.1\r\nX-A: 1\r\n\r\n",
    "HTTP/0.9": b"GET /a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a blank in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is no token": b"G@T /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "empty lines without end": b"\r\n" * 17 + GET + b"\r\n",
    "an upgrade with a body": GET + b"Upgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
}  # fmt: skip

BAD_BODIES = {
    "a bare line feed after a size": b"1\nx\r\n0\r\n\r\n",
    "a bare line feed after data": b"1\r\nx\n0\r\n\r\n",
    "a size that is no number": b"x\r\nx\r\n0\r\n\r\n",
    "a signed size": b"+1\r\nx\r\n0\r\n\r\n",
    "a size in another notation": b"0x1\r\nx\r\n0\r\n\r\n",
    "an empty size": b"\r\nx\r\n0\r\n\r\n",
    "a size beyond counting": b"ffffffffffffffff1\r\nx\r\n0\r\n\r\n",
    "a chunk longer than its size": b"1\r\nxy\r\n0\r\n\r\n",
    "a NUL in an extension": b"1;a=\x00\r\nx\r\n0\r\n\r\n",
    "an endless extension": b"1;" + b"a" * 5000 + b"\r\nx\r\n0\r\n\r\n",
    "a folded trailer": b"0\r\nX-A: 1\r\n 2\r\n\r\n",
    "a bare line feed in trailers": b"0\r\nX-A: 1\n\r\n\r\n",
    "endless trailers": b"0\r\n" + b"X-A: 1\r\n" * 4000 + b"\r\n",
}


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def feed(framing: Framing, parts: list[bytes]) -> bytes:
    return b"".join(framing.feed(part) for part in parts)


def refusal_of(data: bytes) -> str:
    with pytest.raises(FramingRefused) as refused:
        Framing().feed(data)
    return str(refused.value)


def detail_of(answer: bytes) -> object:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS)
async def test_a_head_that_leaves_a_doubt_is_400_and_the_end(
    api: Api, upstream: Upstream, data: bytes
) -> None:
    await api.route(upstream.url)
    answer = await exchange(api.gateway.port, data + GET + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer
    assert answer.count(b"\r\n\r\n") == 1, "nothing behind it is read as a request"
    assert b"Content-Type: application/problem+json\r\n" in answer
    assert b"Connection: close\r\n" in answer
    assert detail_of(answer) == refusal_of(data + GET + b"\r\n")
    assert upstream.seen == []


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS)
@pytest.mark.parametrize("size", [1, 7])
def test_the_verdict_does_not_depend_on_how_bytes_arrive(data: bytes, size: int) -> None:
    with pytest.raises(FramingRefused):
        feed(Framing(), pieces(data, size))


@pytest.mark.parametrize("data", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_body_that_leaves_a_doubt_is_400_and_never_whole_upstream(
    api: Api, upstream: Upstream, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await api.route(upstream.url)
    answer = await exchange(api.gateway.port, CHUNKED + data + GET + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert answer.count(b"HTTP/1.") == 1
    assert detail_of(answer) == refusal_of(CHUNKED + data + GET + b"\r\n")
    assert upstream.seen == []
    errors = [one for one in caplog.records if one.levelname == "ERROR"]
    assert not [one for one in errors if one.name.startswith("stoa_proxy")], (
        "it is no fault of ours"
    )


@pytest.mark.parametrize("data", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bodies_are_checked_alike_byte_by_byte(data: bytes) -> None:
    with pytest.raises(FramingRefused):
        feed(Framing(), pieces(CHUNKED + data, 1))


async def test_requests_before_a_doubt_are_answered_in_order(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    answer = await exchange(api.gateway.port, GET + b"\r\n" + GET + b"X : 1\r\n\r\n")
    first, _, second = answer.partition(b" 400 ")
    assert first.startswith(b"HTTP/1.1 200")
    assert second
    assert len(upstream.seen) == 1


async def test_pipelined_requests_and_bodies_are_answered_in_order(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    sent = [
        POST + b"Content-Length: 3\r\n\r\nabc",
        CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
        b"\r\n" + GET + b"\r\n",
        POST + b"Content-Length: 0\r\nConnection: close\r\n\r\n",
    ]
    answer = await exchange(api.gateway.port, b"".join(sent))
    assert answer.count(b"HTTP/1.1 200") == 4
    assert [seen.body for seen in upstream.seen] == [b"abc", b"abcde", b"", b""]


@given(
    bodies=st.lists(st.one_of(st.none(), st.lists(st.binary(min_size=1, max_size=40))), max_size=5),
    size=st.integers(1, 60),
)
def test_good_requests_pass_byte_for_byte_however_they_arrive(
    bodies: list[list[bytes] | None], size: int
) -> None:
    data = b""
    for body in bodies:
        if body is None:
            data += GET + b"\r\n"
        elif len(body) == 1:
            data += POST + b"Content-Length: %d\r\n\r\n" % len(body[0]) + body[0]
        else:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in body)
            data += CHUNKED + chunks + b"0\r\n\r\n"
    framing = Framing()
    assert feed(framing, pieces(data, size)) == data
    assert not framing.is_inside_body


@given(st.binary(max_size=300), st.integers(1, 50))
def test_arbitrary_bytes_pass_unchanged_or_are_refused(data: bytes, size: int) -> None:
    framing, passed = Framing(), b""
    try:
        for piece in pieces(GET + data, size):
            passed += framing.feed(piece)
    except FramingRefused as refused:
        passed += refused.before
    assert (GET + data).startswith(passed)


async def test_100_kb_of_headers_are_refused_before_they_are_all_there(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    many = GET + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 1000) for n in range(100)) + b"\r\n"
    answer = await exchange(api.gateway.port, many)
    assert answer.startswith(b"HTTP/1.1 400")
    assert detail_of(answer) == "The headers or trailers are too large."
    assert upstream.seen == []
    framing = Framing()
    with pytest.raises(FramingRefused):
        framing.feed(many[: MAX_HEAD + 1])


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (b"X-A: 1\r\n" * 200, "The request has too many headers."),
        (b"X-A: " + b"v" * 40_000 + b"\r\n", "A line of the request's head is too long."),
    ],
)
async def test_what_only_the_parser_refuses_has_its_message_too(
    api: Api, headers: bytes, words: str
) -> None:
    answer = await exchange(api.gateway.port, GET + headers + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert detail_of(answer) == words


async def test_a_large_head_within_the_bound_passes(api: Api) -> None:
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_head(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read()

    async with serving(answer) as url:
        await api.route(url)
        long = b"X-Long: " + b"v" * 30_000 + b"\r\nConnection: close\r\n\r\n"
        assert (await exchange(api.gateway.port, GET + long)).startswith(b"HTTP/1.1 204")
    assert b"X-Long: " + b"v" * 30_000 + b"\r\n" in seen[0]


async def test_what_follows_a_declined_upgrade_is_never_read_as_a_request(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    for name in (b"websocket", b"h2c", b"tcp"):
        head = GET + b"Connection: Upgrade\r\nUpgrade: " + name + b"\r\n\r\n"
        answer = await exchange(api.gateway.port, head + GET + b"\r\n")
        assert answer.count(b"HTTP/1.") == 1
        assert answer.startswith(b"HTTP/1.1 200")
    connect = b"CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n"
    answer = await exchange(api.gateway.port, connect + GET + b"\r\n")
    assert answer.count(b"HTTP/1.") == 1
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 405"))
    assert len(upstream.seen) == 3


async def test_a_doubt_in_a_body_under_way_ends_the_call_upstream(
    api: Api, upstream: Upstream
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        began.set()
        try:
            await request.read()
        finally:
            ended.set()
        return web.Response()

    upstream.answer = read
    await api.route(upstream.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(CHUNKED + b"3\r\nabc\r\n")
    async with asyncio.timeout(30):
        await began.wait()
        writer.write(b"3\nabc\r\n0\r\n\r\n")
        answer = await reader.read()
        await ended.wait()
    assert answer.startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


def verdict(data: bytes, size: int) -> tuple[bytes, bool]:
    """What may be parsed of the bytes, and whether they are refused."""
    framing, passed = Framing(), b""
    try:
        for piece in pieces(data, size):
            passed += framing.feed(piece)
    except FramingRefused as refused:
        return passed + refused.before, True
    return passed, False


FRAGMENTS = [
    b"\r\n", b"\r", b"\n", GET, GET + b"\r\n", CHUNKED, b"0\r\n\r\n", b"1;a\r\nx\r\n",
    POST + b"Content-Length: 2\r\n\r\n", b"ab", b"\r\n" * 17, b"X-A: \xe9\r\n", b"x",
    GET + b"X-A: " + b"a" * (MAX_HEAD - len(GET) - 12), b"a\r\n\r\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=6), st.integers(1, 70))
@example([b"\r\n", GET + b"\r\n"], 2)
@example([b"\r\n", b"\r\n", GET + b"\r\n"], 1)
@example([FRAGMENTS[-2], b"aaaa\r\n\r\n"], 70_000)
def test_how_bytes_arrive_decides_nothing(fragments: list[bytes], size: int) -> None:
    data = b"".join(fragments)
    assert verdict(data, size) == verdict(data, len(data) or 1)


async def test_an_empty_line_before_a_request_is_ignored(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    sent = b"\r\n" + GET + b"Connection: close\r\n\r\n"
    assert (await exchange(api.gateway.port, sent)).startswith(b"HTTP/1.1 200")
