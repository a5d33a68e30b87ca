"""Answers of upstreams that must not reach a caller as they are, and how answers end."""

from __future__ import annotations

import asyncio
import socket
import struct

import aiohttp
import pytest
from aiohttp import web
from stoa_proxy.engines.complete.upstream import failures

from tests.proxy.conftest import TOKEN, Api, Upstream
from tests.proxy.raw import Talk, exchange, read_head, serving
from tests.socks import serve_socks

HEAD = b"HTTP/1.1 200 OK\r\n"
CODED = b"\r\n2\r\nok\r\n0\r\n\r\n"
BODY = b"Content-Length: 2\r\n\r\nok"


def saying(answer: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)

    return talk


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Transfer-Encoding: gzip\r\n\r\nok",
        HEAD + b"Transfer-Encoding: identity\r\n\r\nok",
        HEAD + b"Transfer-Encoding: xchunked\r\n" + CODED,
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n" + CODED,
        HEAD + b"Transfer-Encoding: chunked, gzip\r\n" + CODED,
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + CODED,
        HEAD + b"Content-Length : 2\r\n\r\nok",
        HEAD + b"Transfer-Encoding : chunked\r\n" + CODED,
        HEAD + b"X-A: a\x01b\r\n" + BODY,
        HEAD + b"X-A: a\x7fb\r\n" + BODY,
        HEAD + b"X-A: \xc3\xa9\x0b\r\n" + BODY,
        b"HTTP/1.1 200 O\x01K\r\n" + BODY,
    ],
)
async def test_a_head_that_cannot_be_passed_on_is_a_502_and_no_fault_of_ours(
    api: Api, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(saying(answer)) as url:
        await api.route(url)
        found = await api.get("/a")
        assert found.status == 502
        assert (await found.json())["detail"] == failures.MALFORMED
    assert not [one for one in caplog.records if one.exc_info], "an upstream fills no log"


async def test_tabs_and_text_of_any_language_pass_in_values(api: Api) -> None:
    answer = "HTTP/1.1 200 Trouvé\r\nX-A: a\tb\r\nX-B: é\r\n".encode() + BODY
    async with serving(saying(answer)) as url:
        await api.route(url)
        found = await api.get("/a")
        assert (found.status, found.reason) == (200, "Trouvé")
        assert (found.headers["X-A"], found.headers["X-B"]) == ("a\tb", "é")


async def test_an_upstream_that_never_stops_to_announce_a_response_is_given_up(api: Api) -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        try:
            while True:
                writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)
                await writer.drain()
        finally:
            gone.set()

    async with serving(talk) as url:
        await api.route(url, timeout_ms=60_000)
        async with asyncio.timeout(30):
            found = await api.get("/a")
            await gone.wait()
        assert found.status == 502


async def test_a_response_without_a_length_ends_with_its_connection_in_http_1_0(api: Api) -> None:
    sent = b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\nAuthorization: Bearer %b\r\n\r\n"
    async with serving(saying(HEAD + b"\r\nall of it")) as url:
        for number in range(100):
            await api.route(url, id=f"r{number}", metadata={"text": "x" * 1000})
        for path, end in ((b"/a", b"all of it"), (b"/admin/apis", b"}]")):
            answer = await exchange(api.gateway.port, sent % (path, TOKEN.encode()))
            assert answer.startswith(b"HTTP/1.0 200")
            assert answer.endswith(end)


CHUNKED = b"Transfer-Encoding: chunked\r\n" + CODED


@pytest.mark.parametrize(
    ("request_head", "answer", "lines", "without"),
    [
        (b"GET /a HTTP/1.1\r\n", BODY, [b"Content-Length: 2"], [b"Connection", b"Content-Type"]),
        (b"GET /a HTTP/1.1\r\n", CHUNKED, [b"Content-Length: 2"], [b"Transfer-Encoding"]),
        (b"GET /a HTTP/1.1\r\nUpgrade: h2c\r\n", BODY, [b"Connection: close"], []),
        (b"GET /a HTTP/1.1\r\nConnection: close\r\n", BODY, [b"Connection: close"], []),
        (b"GET /a HTTP/1.0\r\n", BODY, [b"HTTP/1.0 200 Fine"], [b"Connection"]),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n", BODY, [b"Connection: keep-alive"], []),
    ],
)
async def test_a_short_answer_says_its_length_and_whether_the_connection_goes_on(
    api: Api, request_head: bytes, answer: bytes, lines: list[bytes], without: list[bytes]
) -> None:
    async with serving(saying(b"HTTP/1.1 200 Fine\r\n" + answer)) as url:
        await api.route(url)
        sent = request_head + b"Host: a\r\n\r\n"
        then = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        goes_on = b"close" not in b"".join(lines) and b"HTTP/1.0 200 Fine" not in lines
        got = await exchange(api.gateway.port, sent + then * goes_on)
    head, _, rest = got.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200 Fine\r\n", b"HTTP/1.0 200 Fine\r\n"))
    found = head.split(b"\r\n")
    assert set(lines) <= set(found)
    names = [line.partition(b":")[0] for line in found[1:]]
    assert not set(without) & set(names)
    assert names.count(b"Date") == names.count(b"Server") == 1
    assert rest.startswith(b"ok")
    assert rest.count(b"200 Fine") == goes_on, "one more answer, or the end"


STATUSES = [b"000", b"001", b"099", b"101", b"105", b"150", b"199"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("rest", [b"\r\n", BODY, b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
async def test_a_status_that_ends_no_request_is_a_502_at_once(
    api: Api, status: bytes, rest: bytes
) -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await read_head(reader)
        asked += 1
        writer.write(b"HTTP/1.1 " + status + b" X\r\n" + rest)
        await reader.read()  # stays open: nothing but the status says that this is all

    async with serving(talk) as url:
        await api.route(url, timeout_ms=60_000)
        async with asyncio.timeout(30):
            found = await api.get("/a")
    assert (found.status, asked) == (502, 1)
    assert (await found.json())["detail"] in (failures.NO_STATUS, failures.NO_WEBSOCKET)


async def test_registered_interim_responses_are_passed_over(api: Api) -> None:
    interim = b"".join(
        b"HTTP/1.1 %d X\r\nLink: </a>\r\n\r\n" % code for code in (100, 102, 103, 104)
    )
    async with serving(saying(interim + HEAD + BODY)) as url:
        await api.route(url)
        assert (await api.get("/a")).status == 200


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"1;", b"a" * 65536),
        (b"", b"1;" + b"x" * 4000 + b"\r\ny\r\n"),
        (b"", b"0" * 65536),
        (b"0\r\n", b"X-A: 1\r\n" * 4096),
    ],
    ids=["one extension", "many extensions", "zeros", "trailers"],
)
async def test_chunks_that_are_padded_without_end_break_the_response_off(
    api: Api, first: bytes, again: bytes
) -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + first)
        while True:
            writer.write(again)
            sent += len(again)
            await writer.drain()

    async with serving(talk) as url:
        await api.route(url)
        sent_by_client = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await exchange(api.gateway.port, sent_by_client)
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 502"))
    assert not answer.endswith(b"\r\n0\r\n\r\n"), "nobody takes it for whole"
    assert sent < 64 * 1024 * 1024


async def test_each_of_several_large_bodies_passes_on_a_kept_connection(
    api: Api, upstream: Upstream
) -> None:
    size = 12 * 1024 * 1024

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bytes(size))

    upstream.answer = answer
    await api.route(upstream.url)
    assert [len(await (await api.get("/a")).text()) for _ in range(3)] == [size] * 3


async def test_a_body_in_chunks_of_one_byte_passes(api: Api) -> None:
    chunks = b"".join(b"0001;a=b\r\n%c\r\n" % (0x61 + number % 26) for number in range(50_000))
    answer = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with serving(saying(answer)) as url:
        await api.route(url)
        found = await exchange(api.gateway.port, b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n")
    assert len(found.partition(b"\r\n\r\n")[2]) == 50_000


async def test_backends_are_called_directly_whatever_the_environment_says(
    api: Api, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would connect to addresses that this gateway checks and refuses."""
    with serve_socks() as proxy:
        for name in ("ALL_PROXY", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        await api.route(upstream.url)
        assert (await api.get("/a")).status == 200
        assert not proxy.asked


async def test_a_reset_never_ends_a_response_in_order(api: Api) -> None:
    went_on = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(HEAD + b"\r\nhalf")
        await went_on.wait()
        link = writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serving(talk) as url:
        await api.route(url)
        target = f"{api.gateway.base_url}/a"
        async with asyncio.timeout(30), api.session.get(target) as answer:
            assert await answer.content.readany() == b"half"
            went_on.set()
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()
