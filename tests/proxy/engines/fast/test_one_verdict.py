"""Both engines see the same requests in the same bytes, whatever they are (parser differential)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.laws import examples
from tests.proxy.conftest import Api, running
from tests.proxy.http.test_framing import BAD_BODIES, BAD_HEADS, CHUNKED, GET, POST
from tests.proxy.raw import read_head, serving

END = b"GET /a/end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ODD = {
    "absolute form": b"GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute form of another scheme": b"GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target without a slash": b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"FOO /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in lower case": b"get /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "TRACE": b"TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "an empty host": b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "a host that is none": b"GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "two types": POST + b"Content-Type: a\r\nContent-Type: b\r\nContent-Length: 0\r\n\r\n",
    "129 headers": GET + b"X: 1\r\n" * 128 + b"\r\n",
    "128 headers": GET + b"X: 1\r\n" * 127 + b"\r\n",
    "a long header": GET + b"X: " + b"a" * 32 * 1024 + b"\r\n\r\n",
    "a header just short enough": GET + b"X: " + b"a" * (32 * 1024 - 2) + b"\r\n\r\n",
    "a long line": b"GET /a/" + b"a" * 64 * 1024 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "blanks behind values": GET + b"X-A: 1 \t \r\nConnection: keep-alive \r\n\r\n",
    "a body nobody expects": GET + b"Content-Length: 2\r\n\r\nok",
    "an upgrade": GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "an old key": GET + b"Sec-WebSocket-Key1: x\r\n\r\n",
    "an expectation": POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    "another expectation": POST + b"Expect: x\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0": b"GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "dot segments": b"GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped dots": b"GET /a/%2e%2e%2fb HTTP/1.1\r\nHost: x\r\n\r\n",
    "health": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "admin": b"POST /admin/apis HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "no route": b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok",
    "trailers": CHUNKED + b"2;x=y\r\nok\r\n0\r\nX-T: 1\r\nX-User-Id: root\r\n\r\n",
    "pipelined": GET + b"\r\n" + POST + b"Content-Length: 2\r\n\r\nok" + GET + b"\r\n",
}  # fmt: skip
CASES = {**BAD_HEADS, **{name: CHUNKED + body for name, body in BAD_BODIES.items()}, **ODD}


Verdict = list[tuple[bytes, bytes]]
"""Status and body of each answer."""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream that answers with what it got: its heads and, in order, their bodies."""
    while True:
        head = await read_head(reader)
        lines = head.lower().split(b"\r\n")
        body = b""
        for line in lines:
            if line.startswith(b"content-length: "):
                body = await reader.readexactly(int(line[16:]))
        if b"transfer-encoding: chunked" in lines:
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += await reader.readexactly(size)
                await reader.readline()
            assert await reader.readline() == b"\r\n", "a trailer went on"
        kept = [line for line in lines[:-2] if not line.startswith((b"via:", b"content-length:"))]
        kept = [line for line in kept if not line.startswith((b"host:", b"transfer-encoding:"))]
        seen = b"|".join([*sorted(kept), body])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(seen) + seen)


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Api, Api]]:
    """A gateway over each engine, with one upstream."""
    # What never becomes whole ends soon.
    limits = dict.fromkeys(("head_seconds", "upload_seconds", "keepalive_seconds"), 0.3)
    async with (
        serving(echo) as url,
        running(engine="aiohttp", **limits) as complete,
        running(engine="fast", **limits) as fast,
    ):
        for api in (complete, fast):
            await api.route(url)
        yield complete, fast


async def verdict(api: Api, data: bytes, size: int) -> Verdict:
    """Status and body of each answer until the end, of refusals the status alone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    received = b""
    try:
        async with asyncio.timeout(30):
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await asyncio.sleep(0)
            while block := await reader.read(65536):
                received += block
    except (ConnectionError, TimeoutError) as error:
        received += b"" if isinstance(error, ConnectionError) else b"TIMEOUT"
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return answers_of(received)


def answers_of(received: bytes) -> Verdict:
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        lower = head.lower()
        length = lower.partition(b"content-length: ")[2].split(b"\r\n")[0]
        size = int(length or 0)
        body, received = received[:size], received[size:]
        status = head.partition(b"\r\n")[0]
        if b" 400 " in status:
            body = b""  # what the words of two parsers are is their own
        found.append((status + (b" close" if b"connection: close" in lower else b""), body))
    return found


async def verdicts(complete: Api, fast: Api, data: bytes, size: int) -> tuple[Verdict, Verdict]:
    """What both engines answer; asked again where that differs.

    Time limits are real here: a machine that stands still for one makes a difference once, and an
    engine that reads other things makes it each time.
    """
    for _ in range(4):
        expected, found = await asyncio.gather(
            verdict(complete, data + END, 1 << 20), verdict(fast, data + END, size)
        )
        if found == expected:
            break
    return expected, found


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
async def test_both_engines_read_the_same(data: bytes) -> None:
    async with both() as (complete, fast):
        for size in (1 << 20, 4096):
            expected, found = await verdicts(complete, fast, data, size)
            assert found == expected
            assert expected, "something is answered"


SEEDS = [
    GET + b"X-A: 1\r\n\r\n",
    POST + b"Content-Length: 5\r\n\r\nhello",
    CHUNKED + b"5\r\nhello\r\n3;a=b\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    POST + b"Connection: keep-alive, X-A\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]
ODD_BYTES = [
    b"\r", b"\n", b"\x00", b"\t", b" ", b":", b"0", b"f", b"\xff", b",", b";", b"\x0b", b"+", b"_",
    b"\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b" chunked", b"HTTP/1.1",
    b"Transfer-Encoding: gzip\r\n", b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"http://y",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good request of which a few bytes are changed, taken out or put in."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        taken = draw(st.integers(0, 3))
        put = draw(st.sampled_from(ODD_BYTES) | st.just(b"") | st.binary(max_size=1))
        data = data[:start] + put + data[start + taken :]
    return data


def check_mutated(requests: list[bytes]) -> None:
    async def compare() -> None:
        async with both() as (complete, fast):
            pairs = await asyncio.gather(
                *(verdicts(complete, fast, data, 1 << 20) for data in requests)
            )
        for data, (one, other) in zip(requests, pairs, strict=True):
            if len(one) == 1 and b" 400 " in one[0][0]:
                # Of several requests in one read aiohttp's parser drops those before a malformed
                # one, and with a malformed body also what its head would have been answered.
                assert other, data
                assert b" 4" in other[-1][0], data
            else:
                assert other == one, data


# What never becomes whole is waited for once for all requests of a list.
LISTS = st.lists(mutated(), min_size=50, max_size=50)
# No shrinking: each try takes half a second.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(examples(20), phases=PHASES)
@given(requests=LISTS)
def test_mutated_requests_are_read_alike(requests: list[bytes]) -> None:
    check_mutated(requests)


@pytest.mark.heavy
@settings(max_examples=200, phases=PHASES)
@given(requests=LISTS)
def test_10_000_mutated_requests_are_read_alike(requests: list[bytes]) -> None:
    check_mutated(requests)
