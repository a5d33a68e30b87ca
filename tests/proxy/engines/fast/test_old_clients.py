"""Clients of HTTP/1.0 get the same from both engines: no chunks, and what ends is said to end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import pytest

from tests.proxy.conftest import running
from tests.proxy.raw import read_head, serving

OK = b"HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\n"
# More than comes with a head, so that it is streamed.
LONG = b"x" * 300_000
ANSWERS = {
    b"/length": OK + b"Content-Length: 2\r\n\r\nok",
    b"/options": OK + b"Content-Length: 2\r\nConnection: keep-alive\r\nKeep-Alive: max=5\r\n\r\nok",
    b"/chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
    b"/stream": OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG),
    b"/long": OK + b"Content-Length: %d\r\n\r\n" % len(LONG) + LONG,
    b"/end": OK + b"\r\n" + LONG,
    b"/none": OK.replace(b"200 OK", b"204 No Content") + b"\r\n",
    b"/same": OK.replace(b"200 OK", b"304 Not Modified") + b"ETag: x\r\n\r\n",
}
OPTIONS = (
    b"",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Connection: Keep-Alive, x\r\n",
)
OWN = (b"/elsewhere", b"/health")


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        method, target = (await read_head(reader)).split()[:2]
        answer = ANSWERS[target]
        writer.write(
            answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer
        )
        if target == b"/end":
            return


@asynccontextmanager
async def ports() -> AsyncIterator[list[int]]:
    """Those of a gateway over each engine, with one upstream."""
    async with (
        serving(talk) as url,
        running(engine="aiohttp") as complete,
        running(engine="fast") as fast,
    ):
        for api in (complete, fast):
            await api.route(url)
        yield [api.gateway.port for api in (complete, fast)]


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """The content of a body in chunks, of which engines may make others."""
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        assert await reader.readline() == b"\r\n"
    assert await reader.readline() == b"\r\n", "no trailers"
    return body


def comparable(found: list[tuple[bytes, bytes]]) -> list[tuple[list[bytes], bytes]]:
    """The same whatever the order of headers, and whatever told the length of a body.

    What an upstream sends in chunks has a length where all of it came at once, and that is chance.
    """
    return [(sorted({*head.split(b"\r\n")} - _lengths(body)), body) for head, body in found]


def _lengths(body: bytes) -> set[bytes]:
    return {b"transfer-encoding: chunked", b"content-length: %d" % len(body)} if body else set()


async def answers(port: int, request: bytes) -> list[tuple[bytes, bytes]]:
    """Heads and bodies that a client gets, who sends a second request if it is told that it may."""
    found: list[tuple[bytes, bytes]] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(60):
        while len(found) < 2:
            writer.write(request)
            head = (await read_head(reader)).lower()
            length = re.search(rb"\r\ncontent-length: (\d+)", head)
            has_body = not request.startswith(b"HEAD") and not re.match(rb"\S+ (?:204|304)", head)
            is_old = head.startswith(b"http/1.0")
            if is_old:
                assert b"transfer-encoding" not in head, "it knows no chunks"
            is_kept = b"connection: keep-alive" in head if is_old else b"close\r\n" not in head
            size = int(length[1]) if length and has_body else 0
            body = await reader.readexactly(size)
            if has_body and b"transfer-encoding: chunked" in head:
                body = await read_chunks(reader)
                assert is_kept or await reader.read() == b""
            elif not is_kept:
                rest = await reader.read()
                assert not (rest and length), "more than was said"
                body += rest
            else:
                assert length or not has_body, "nothing marks its end"
            found.append((re.sub(rb"\r\ndate: [^\r]*", b"", head), body))
            if not is_kept:
                if not reader.at_eof():
                    assert await reader.read() == b""
                break
    writer.close()
    await writer.wait_closed()
    return found


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_both_engines_answer_alike_and_keep_what_they_say(
    version: bytes, method: bytes
) -> None:
    paths = [*(b"/a" + path for path in ANSWERS), *OWN]
    async with ports() as (complete, fast):
        for path, option in product(paths, OPTIONS):
            request = b"%b %b HTTP/%b\r\nHost: x\r\n%b\r\n" % (method, path, version, option)
            one, other = [await answers(port, request) for port in (complete, fast)]
            assert comparable(one) == comparable(other), request
            wants_more = b"eep" in option if version == b"1.0" else b"close" not in option
            assert len(one) <= 1 + wants_more, request
            if path == b"/a/length":
                assert len(one) == 1 + wants_more, request
