"""Upstreams and clients that fail, misbehave or leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from stoa_proxy.engines.complete.upstream import failures

from tests.proxy.conftest import TOKEN, Api, Upstream, running
from tests.proxy.raw import Talk, exchange, read_head, serving

GET = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def saying(data: bytes, *, close: bool = True) -> Talk:
    """An upstream that reads a head and says `data`, whatever was asked."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(data)
        if not close:
            await reader.read()

    return talk


async def test_interim_answers_are_skipped(api: Api) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 5
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with serving(saying(interim + final, close=False)) as url:
        await api.route(url)
        answer = await api.get("/a")
        assert (answer.status, await answer.text()) == (200, "ok")
        assert "Link" not in answer.headers


async def test_interim_answers_without_end_run_into_the_timeout(api: Api) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(talk) as url:
        await api.route(url, timeout_ms=100)
        assert (await api.get("/a")).status == 504


async def test_a_response_before_the_whole_body_reaches_the_client(api: Api) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        await reader.read()

    async with serving(talk) as url:
        await api.route(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\npart")
        async with asyncio.timeout(30):
            assert (await read_head(reader)).startswith(b"HTTP/1.1 413")
            assert await reader.readexactly(5) == b"large"
        writer.close()
        await writer.wait_closed()


async def test_a_response_longer_than_it_says_does_not_leak_into_the_next(
    api: Api, upstream: Upstream
) -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + poison
    calls = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await read_head(reader)
        writer.write(long)
        await reader.read()

    async with serving(talk) as url:
        await api.route(url)
        for _ in range(3):
            assert await (await api.get("/a")).text() == "ok"
        assert calls == 3, "no such connection is used again"


async def test_an_unsolicited_response_is_not_given_to_the_next_client(api: Api) -> None:
    responded, calls = asyncio.Event(), 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await responded.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await reader.read()

    async with serving(talk) as url:
        await api.route(url)
        assert await (await api.get("/a")).text() == "ok"
        responded.set()
        for _ in range(20):
            await api.get("/health")
        assert await (await api.get("/a")).text() == "ok"
        assert calls == 2


HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\nok"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
MANY = b"".join(b"X-%d: %b\r\n" % (number, b"v" * 1000) for number in range(200))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "The upstream closed the connection without an answer."),
        (HEAD + b"Content-Le", failures.BROKEN_OFF),
        (b"garbage\r\n\r\n", failures.NO_HTTP),
        (b"\x15\x03\x01\x00\x02\x02\x46", failures.NO_HTTP),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", failures.MALFORMED),
        (HEAD + b"Content-Length: x\r\n\r\nabcdef", failures.MALFORMED),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", failures.MALFORMED),
        (HEAD + b"X Y: 1\r\n\r\n", failures.MALFORMED),
        (HEAD + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", failures.TOO_LARGE),
        (HEAD + MANY + b"\r\n", failures.TOO_LARGE),
        (WHOLE + b"garbage", failures.LONGER),
        (CHUNKED + b"garbage", failures.LONGER),
        (HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok!", failures.LONGER),
        (b"HTTP/1.1 204 No Content\r\n\r\nbody", failures.LONGER),
    ],
)
async def test_a_response_that_cannot_be_read_is_a_502_that_says_why(
    api: Api, answer: bytes, words: str
) -> None:
    async with serving(saying(answer)) as url:
        await api.route(url)
        found = await api.get("/a")
        assert found.status == 502
        assert found.content_type == "application/problem+json"
        assert (await found.json())["detail"] == words


async def test_a_response_that_cannot_be_read_sends_to_the_fallback_by_that_name(api: Api) -> None:
    async with serving(saying(b"garbage\r\n\r\n")) as url:
        await api.route(url, fallback_url="builtin:echo")
        assert (await api.get("/a")).headers["X-Stoa-Fallback"] == "bad-answer"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\nab\r\n",
    ],
)
async def test_a_response_that_breaks_off_or_is_framed_wrongly_is_never_whole(
    api: Api, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(saying(answer)) as url:
        await api.route(url)
        try:
            status = (await api.get("/a")).status
        except aiohttp.ClientError:
            status = 0  # it broke off here as well
        assert status in (0, 502)
    assert not [one for one in caplog.records if one.exc_info], "it is no fault of ours"


@pytest.mark.parametrize(
    "rest",
    [
        b"zz\r\nab\r\n",
        b"2\r\nabX\r\n0\r\n\r\n",
        b"2\nab\n0\n\n",
        b"fffffffffffffffff\r\nab",
        b"2\r\nab\r\n0\r\nX Y\x00: 1\r\n\r\n",
    ],
)
async def test_a_body_framed_wrongly_behind_a_head_that_was_passed_on_breaks_off(
    api: Api, rest: bytes
) -> None:
    is_passed_on = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await is_passed_on.wait()
        writer.write(rest)
        await reader.read()

    async with serving(talk) as url:
        await api.route(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(GET)
        await read_head(reader)
        is_passed_on.set()
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionResetError):
                assert not (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()


async def test_an_upstream_that_speaks_first_is_a_502_and_not_called_again(api: Api) -> None:
    calls = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.write(b"220 mail.test ESMTP\r\n\r\n")
        await reader.read()

    async with serving(greet) as url:
        await api.route(url)
        assert (await api.get("/a")).status == 502
    assert calls == 1


async def test_an_upstream_that_resets_is_a_502(api: Api) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.transport.abort()

    async with serving(reset) as url:
        await api.route(url)
        assert (await api.get("/a")).status == 502


async def test_an_upstream_that_trickles_its_head_runs_into_the_timeout(api: Api) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        sent = 0
        try:
            while not reader.at_eof():
                writer.write(b"x")
                sent += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.005):
                        await reader.read()
        finally:
            pieces.set_result(sent)

    pieces = asyncio.get_running_loop().create_future()
    async with serving(trickle) as url:
        await api.route(url, timeout_ms=1000)
        assert (await api.get("/a")).status == 504
        async with asyncio.timeout(30):
            assert await pieces > 2, "it kept sending until it was hung up on"


async def test_a_response_that_breaks_off_keeps_no_connections_beyond_a_stop(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")) as url:
        async with running() as api:
            await api.route(url)
            await api.route(upstream.url, "/kept", id="r2")
            with contextlib.suppress(aiohttp.ClientError):
                await api.send("POST", "/a", data=b"abc")
            assert (await api.get("/kept")).status == 200
        del api
        gc.collect()
    assert not [one for one in caplog.records if "Unclosed" in one.getMessage()]


async def test_a_body_that_stops_coming_ends_after_the_timeout(api: Api) -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with serving(saying(begun, close=False)) as url:
        await api.route(url, timeout_ms=1000)
        answer = await exchange(api.gateway.port, GET)
    assert answer.endswith(b"half")
    assert b"Content-Length: 100" in answer


async def test_a_response_without_a_length_ends_with_its_connection(api: Api) -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as url:
        await api.route(url)
        assert await (await api.get("/a")).text() == "all of it"


UNTYPED = {
    "at once": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "to the end": b"HTTP/1.1 200 OK\r\n\r\nok",
}


@pytest.mark.parametrize("answer", UNTYPED.values(), ids=UNTYPED)
@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_response_without_a_type_gets_none(api: Api, answer: bytes, is_slow: bool) -> None:
    head, mark, body = answer.partition(b"\r\n\r\n")
    began = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head + mark if is_slow else answer)
        if is_slow:
            await began.wait()
            writer.write(body)

    async with serving(talk) as url:
        await api.route(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(GET)
        async with asyncio.timeout(30):
            found = await read_head(reader)
            began.set()
            assert b"ok" in await reader.read()
        assert found.startswith(b"HTTP/1.1 200")
        assert b"content-type" not in found.lower()
        writer.close()
        await writer.wait_closed()


async def test_hop_by_hop_headers_of_answers_do_not_pass(api: Api) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: X-Private, close\r\nX-Private: 1\r\n"
        b"Keep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: X-T\r\nUpgrade: h2c\r\nX-Kept: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
    )
    async with serving(saying(answer)) as url:
        await api.route(url)
        found = await api.get("/a")
    assert await found.text() == "ok"
    assert found.headers["X-Kept"] == "1"
    for name in ("X-Private", "Keep-Alive", "Proxy-Authenticate", "Trailer", "Upgrade", "X-T"):
        assert name not in found.headers, name


async def test_a_kept_connection_carries_the_next_request(api: Api) -> None:
    calls = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        while True:
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serving(talk) as url:
        await api.route(url)
        for _ in range(5):
            assert (await api.get("/a")).status == 200
    assert calls == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_request_that_could_have_a_body_says_that_it_has_none(
    api: Api, upstream: Upstream, method: str
) -> None:
    await api.route(upstream.url)
    sent = f"{method} /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    assert (await exchange(api.gateway.port, sent)).startswith(b"HTTP/1.1 200")
    assert upstream.seen[0].all("Content-Length") == ["0"]
    assert upstream.seen[0].all("Transfer-Encoding") == []


async def test_a_slow_head_is_not_waited_for() -> None:
    async with running(head_seconds=0.05) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\nX-Slow")
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_takes_nothing_is_not_waited_for(upstream: Upstream) -> None:
    over = asyncio.Event()

    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            over.set()

    upstream.answer = flood
    async with running(write_seconds=0.1) as api:
        await api.route(upstream.url)
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port, limit=1024)
        writer.write(GET)
        async with asyncio.timeout(30):
            await over.wait()
        writer.transport.abort()


async def test_a_client_that_vanishes_while_sending_ends_the_call(
    api: Api, upstream: Upstream
) -> None:
    began, outcome = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        began.set()
        try:
            outcome.set_result(await request.read())
        except BaseException as error:
            outcome.set_result(error)
            raise
        return web.Response()

    upstream.answer = read
    await api.route(upstream.url)
    _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    async with asyncio.timeout(30):
        await began.wait()
        writer.transport.abort()
        assert isinstance(await outcome, BaseException)


async def test_a_gigabyte_streams_both_ways_in_bounded_memory(api: Api) -> None:
    size, piece = 2**30, b"x" * 2**18

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while data := await reader.read(2**18):
            writer.write(data)
            await writer.drain()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    async with serving(talk) as url:
        await api.route(url)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sent: Any = {"Content-Length": str(size)}
        target = api.gateway.base_url + "/a"
        async with api.session.post(target, data=body(), headers=sent) as answer:
            received = 0
            async for chunk in answer.content.iter_any():
                received += len(chunk)
        assert received == size
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 64 * 1024, f"{grown} KiB"


async def test_an_admin_client_that_waits_for_leave_to_send_gets_it(api: Api) -> None:
    body = b'{"id":'
    head = (
        b"POST /admin/apis HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
        b"Authorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(head % (TOKEN.encode(), len(body)))
    async with asyncio.timeout(30):
        assert await read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


async def test_an_admin_client_without_the_token_gets_no_leave_to_send(api: Api) -> None:
    head = (
        b"POST /admin/apis HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
        b"Content-Length: 5\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(head)
    async with asyncio.timeout(30):
        assert (await read_head(reader)).startswith(b"HTTP/1.1 401")
    writer.close()
    await writer.wait_closed()


async def test_readiness_is_set_by_the_embedding_process(api: Api) -> None:
    assert (await api.get("/ready")).status == 200
    state = [False]
    api.gateway.set_ready(lambda: state[0])
    assert (await api.get("/ready")).status == 503
    assert (await api.get("/health")).status == 200
    state[0] = True
    assert (await api.get("/health/ready")).status == 200
    api.gateway.set_ready(False)
    answer = await api.get("/ready")
    assert (answer.status, await answer.text()) == (503, "NOT READY: not configured yet")
    api.gateway.set_ready(True)
    assert (await api.get("/ready")).status == 200


@pytest.mark.parametrize("place", ["header", "query"])
async def test_a_backend_credential_goes_with_every_retry_and_never_to_the_fallback(
    api: Api, upstream: Upstream, start_upstream: Any, place: str
) -> None:
    async def drop(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    broken = await start_upstream(drop)
    auth = {"in": place, "name": "x-key", "value": "sekret"}
    await api.route(broken.url, retries=2, backend_auth=auth, fallback_url=upstream.url)
    sent = await api.get("/a?x-key=mine&y=1", {"X-Key": "mine"})
    assert sent.headers["X-Stoa-Fallback"] == "no-answer"
    assert len(broken.seen) == 3
    for seen in broken.seen:
        if place == "header":
            assert (seen.all("x-key"), seen.target) == (["sekret"], "/?x-key=mine&y=1")
        else:
            assert (seen.all("x-key"), seen.target) == (["mine"], "/?y=1&x-key=sekret")
    last = upstream.seen[0]
    assert "sekret" not in last.target + str(last.headers)
    assert "mine" not in (last.all("x-key") if place == "header" else last.target)
