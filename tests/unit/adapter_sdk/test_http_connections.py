"""Connections to a gateway: how many, which one is used, and what becomes of one that ended."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Iterable
from functools import partial

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.http import connections
from stoa_gitops.adapter_sdk.http.encodings import PIECE, decoded
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.errors import GatewayError, GatewayMalformed, GatewayUnreachable
from tests.unit.adapter_sdk.serving import Served, answering, served

OK = partial(web.json_response, [1])


async def post(one: Served, path: str = "/v1/things") -> int:
    response = await one.client.request("POST", path, "writing a thing", body={}, repeatable=False)
    return response.status


async def test_one_request_after_another_uses_one_connection() -> None:
    seen: list[int] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.append(request.transport.get_extra_info("peername")[1])
        return OK()

    async with served(handle) as one:
        for _ in range(5):
            await post(one)
    assert len(set(seen)) == 1


async def test_no_more_requests_are_under_way_than_there_are_connections() -> None:
    now, most = 0, 0

    async def handle(_: web.Request) -> web.Response:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0)
        now -= 1
        return OK()

    async with served(handle, limits=Limits(connections=2)) as one:
        await asyncio.gather(*(post(one) for _ in range(12)))
    assert (len(one.requests), most) == (12, 2)


async def test_a_connection_that_the_gateway_ended_is_not_used_for_a_write() -> None:
    async def handle(_: web.Request) -> web.Response:
        response = OK()
        response.force_close()
        return response

    async with served(handle) as one:
        for _ in range(3):
            assert await post(one) == 200


async def test_connections_that_are_closed_for_their_age_disturb_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "KEEP_SECONDS", 0.0)

    async def handle(_: web.Request) -> web.Response:
        return OK()

    async with served(handle, limits=Limits(connections=4)) as one:
        found = await asyncio.gather(*(post(one) for _ in range(100)))
    assert found == [200] * 100


async def test_who_waits_too_long_for_a_connection_is_told() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return OK()

    async with served(handle, limits=Limits(connections=1)) as one:
        one.client._transport.timeout = httpx.Timeout(30.0, pool=0.01)
        first = asyncio.create_task(post(one))
        await asked.wait()
        with pytest.raises(GatewayUnreachable, match="in time"):
            await post(one)
        go_on.set()
        assert await first == 200
        assert await post(one) == 200


async def test_a_cancelled_request_leaves_its_place_to_the_next_one() -> None:
    asked = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        if request.path == "/slow":
            asked.set()
            await asyncio.Event().wait()
        return OK()

    async with served(handle, limits=Limits(connections=1)) as one:
        slow = asyncio.create_task(post(one, "/slow"))
        await asked.wait()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await post(one) == 200


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/a%2Fb?x=1%20y&z=,;", "/v1/a%2Fb?x=1%20y&z=,;"),
        ("/v1/ä b", "/v1/%C3%A4%20b"),
        ('/v1/"x"', "/v1/%22x%22"),
    ],
)
async def test_a_path_goes_out_as_it_is_and_what_no_path_may_have_escaped(
    path: str, sent: str
) -> None:
    async with served(answering(OK), path="/base") as one:
        await post(one, path)
        assert one.requests[0].raw_path == f"/base{sent}"


async def in_pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def raw_deflate(content: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(content) + engine.flush()


CODINGS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": bytes, "Deflate": raw_deflate}


@given(st.binary(max_size=2000), st.lists(st.sampled_from(sorted(CODINGS)), max_size=3),
       st.integers(1, 700))  # fmt: skip
def test_whatever_was_encoded_is_decoded(content: bytes, codings: list[str], size: int) -> None:
    encoded = content
    for coding in codings:
        encoded = CODINGS[coding](encoded)

    async def read() -> bytes:
        found = decoded(in_pieces(encoded, size), ", ".join(codings))
        return b"".join([piece async for piece in found])

    assert asyncio.run(read()) == content


async def test_a_small_body_that_decodes_to_a_large_one_comes_in_bounded_pieces() -> None:
    bomb = gzip.compress(bytes(20 * PIECE))
    sizes = [len(piece) async for piece in decoded(in_pieces(bomb, len(bomb)), "gzip")]
    assert (max(sizes), sum(sizes)) == (PIECE, 20 * PIECE)


def encoded(body: bytes, coding: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Encoding": coding})


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"[1]", "cut off or is not HTTP"), (gzip.compress(b" " * 5000), "longer than 2000 bytes")],
    ids=["not of its encoding", "too long"],
)
async def test_a_body_not_of_its_encoding_or_too_long_without_it_is_malformed(
    body: bytes, error: str
) -> None:
    answer = partial(encoded, body, "gzip")
    async with served(answering(answer), limits=Limits(max_body=2000)) as one:
        with pytest.raises(GatewayMalformed, match=error):
            await post(one)


def headers(pairs: Iterable[tuple[str, str]]) -> web.Response:
    response = OK()
    for name, value in pairs:
        response.headers.add(name, value)
    return response


async def test_headers_of_one_name_are_one() -> None:
    answer = partial(headers, [("X-One", "a"), ("x-one", "b")])
    async with served(answering(answer)) as one:
        response = await one.client.request("GET", "/", "a thing")
        assert response.headers["x-one"] == "a, b"


async def test_after_it_was_closed_a_client_opens_connections_again() -> None:
    async with served(answering(OK)) as one:
        await post(one)
        await one.client.aclose()
        assert await post(one) == 200
        with pytest.raises(GatewayError):
            await one.client.request("GET", "/", "a thing", expect=(204,))
