"""What an upstream gets, and what a caller gets back."""

from __future__ import annotations

import asyncio
import gzip
import io
import re
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.proxy.conftest import Api, Upstream, running
from tests.proxy.raw import exchange


async def test_the_remainder_and_query_go_upstream_byte_for_byte(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url + "/base")
    paths = ["/x%2Fy?q=%2F%20+&arr[]=1", "/%C3%A9", "/%zz", "/x;v=1", "//x", "/x%252Fy", "/@host"]
    for path in paths:
        assert (await api.get("/a" + path)).status == 200
    assert [seen.target for seen in upstream.seen] == ["/base" + path for path in paths]


@pytest.mark.parametrize(
    ("backend", "path", "expected"),
    [
        ("", "/a", "/"),
        ("", "/a?x=1", "/?x=1"),
        ("/base", "/a", "/base"),
        ("/base/", "/a", "/base/"),
        ("/base/", "/a/x", "/base/x"),
        ("/base?k=1", "/a/x?z=2", "/base/x?k=1&z=2"),
    ],
)
async def test_backend_paths_and_queries_are_kept(
    api: Api, upstream: Upstream, backend: str, path: str, expected: str
) -> None:
    await api.route(upstream.url + backend)
    assert (await api.get(path)).status == 200
    assert upstream.seen[0].target == expected


async def test_the_prefix_is_kept_when_strip_path_is_off(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url, strip_path=False)
    await api.get("/a/x%2Fy")
    assert upstream.seen[0].target == "/a/x%2Fy"


@pytest.mark.parametrize("prefix", ["/", "/slash/"])
async def test_prefixes_that_end_in_a_slash_work(api: Api, upstream: Upstream, prefix: str) -> None:
    await api.route(upstream.url + "/base", prefix)
    assert (await api.get(prefix + "zzz")).status == 200
    assert upstream.seen[0].target == "/base/zzz"


@pytest.mark.parametrize(
    "path", ["/a/%2e%2e/admin", "/a/..%2f..%2fadmin", "/a/x%5c..%5cy", "/a/..;/x", "/a/%00", "/a/."]
)
async def test_paths_that_could_escape_are_refused(api: Api, upstream: Upstream, path: str) -> None:
    await api.route(upstream.url + "/base")
    answer = await api.get(path)
    assert answer.status == 400
    assert answer.content_type == "application/problem+json"
    assert upstream.seen == []


async def test_claims_of_identity_and_hop_headers_do_not_pass(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    sent = {
        "X-User-Id": "root", "X_User_Email": "a@b", "X-Consumer-Id": "c", "X-Credential-Key": "k",
        "X-Authenticated-Scope": "all", "X-Tenant-ID": "acme", "Connection": "X-Private",
        "X-Private": "1", "X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4",
        "TE": "trailers",
        "X-Kept": "yes",
    }  # fmt: skip
    await api.get("/a", sent)
    seen = upstream.seen[0]
    for name in set(sent) - {"X-Kept", "X-Forwarded-For", "Connection"}:
        assert seen.all(name) == [], name
    assert seen.all("X-Kept") == ["yes"]
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert seen.all("X-Forwarded-Host") == [api.gateway.base_url.removeprefix("http://")]
    assert re.fullmatch("1.1 stoa-gateway-[0-9a-f]{8}", seen.all("Via")[0])
    assert seen.all("Host") == [upstream.url.removeprefix("http://")]


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PUT", "PATCH"])
async def test_bodies_are_forwarded_with_every_method(
    api: Api, upstream: Upstream, method: str
) -> None:
    await api.route(upstream.url)
    answer = await api.send(method, "/a/m", data=b"body")
    assert answer.status == 200
    assert upstream.seen[0].body == b"body"
    assert upstream.seen[0].all("Content-Length") == ["4"]


async def test_chunked_and_large_bodies_stream_through(api: Api, upstream: Upstream) -> None:
    async def read(request: web.BaseRequest) -> web.StreamResponse:
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
        return web.Response(text=str(size))

    async def chunks() -> Any:
        for _ in range(64):
            yield b"x" * 65536

    upstream.answer = read
    await api.route(upstream.url)
    answer = await api.send("POST", "/a", data=chunks())
    assert await answer.text() == str(64 * 65536)
    assert upstream.seen[0].all("Transfer-Encoding") == ["chunked"]


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
async def test_large_bodies_arrive_byte_for_byte(
    api: Api, upstream: Upstream, *, is_chunked: bool
) -> None:
    body = b"".join(b"%08d" % number for number in range(300_000))

    async def parts() -> Any:
        for start in range(0, len(body), 190_000):
            yield body[start : start + 190_000]

    async def repeat(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if not is_chunked:
            response.content_length = len(body)
        await response.prepare(request)
        async for part in request.content.iter_any():
            await response.write(part)
        await response.write_eof()
        return response

    upstream.answer = repeat
    await api.route(upstream.url)
    # A connection that nothing else was asked on: the engine under test has it.
    async with aiohttp.ClientSession() as session:
        sent = parts() if is_chunked else io.BytesIO(body)
        async with session.post(api.gateway.base_url + "/a", data=sent) as answer:
            assert await answer.read() == body


async def test_compressed_bodies_are_left_alone_both_ways(api: Api, upstream: Upstream) -> None:
    packed = gzip.compress(b"hello")

    async def same(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    await api.route(upstream.url)
    await api.send("POST", "/a", {"Content-Encoding": "gzip"}, data=packed)
    upstream.answer = same
    answer = await api.get("/a")
    assert answer._body == packed
    assert answer.headers["Content-Encoding"] == "gzip"
    assert upstream.seen[0].all("Content-Length") == [str(len(packed))]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_handed_to_the_client(
    api: Api, upstream: Upstream, status: int
) -> None:
    async def redirect(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "http://elsewhere.test/"})

    upstream.answer = redirect
    await api.route(upstream.url)
    answer = await api.get("/a")
    assert (answer.status, answer.headers["Location"]) == (status, "http://elsewhere.test/")
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("status", [204, 304, 418, 500, 503])
async def test_statuses_and_repeated_headers_pass(
    api: Api, upstream: Upstream, status: int
) -> None:
    async def answer_with(request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(status=status)
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        response.headers["X-Stoa-Fallback"] = "forged"
        return response

    upstream.answer = answer_with
    # By name: clients never keep cookies of bare addresses.
    await api.route(f"http://localhost:{upstream.port}")
    answer = await api.get("/a")
    assert answer.status == status
    assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert "X-Stoa-Fallback" not in answer.headers
    await api.get("/a")
    assert upstream.seen[1].all("Cookie") == [], "the gateway keeps no cookies"


async def test_a_head_request_keeps_the_content_length_of_the_upstream(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    answer = await api.send("HEAD", "/a")
    assert answer.status == 200
    assert int(answer.headers["Content-Length"]) > 0
    assert upstream.seen[0].method == "HEAD"


async def test_events_stream_without_being_held_back(api: Api, upstream: Upstream) -> None:
    go_on = asyncio.Event()

    async def events(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await go_on.wait()
        await response.write(b"data: 2\n\n")
        return response

    upstream.answer = events
    await api.route(upstream.url)
    async with api.session.get(api.gateway.base_url + "/a") as answer:
        assert await answer.content.readany() == b"data: 1\n\n"
        go_on.set()
        assert await answer.content.read() == b"data: 2\n\n"


async def test_the_head_of_a_stream_arrives_before_its_first_event(
    api: Api, upstream: Upstream
) -> None:
    go_on = asyncio.Event()

    async def silent(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await go_on.wait()
        return response

    upstream.answer = silent
    await api.route(upstream.url)
    async with asyncio.timeout(30), api.session.get(api.gateway.base_url + "/a") as answer:
        assert answer.status == 200
        go_on.set()


async def test_a_response_that_breaks_off_is_not_taken_for_whole(
    api: Api, upstream: Upstream
) -> None:
    async def half(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    upstream.answer = half
    await api.route(upstream.url)
    with pytest.raises(aiohttp.ClientError):
        await api.get("/a")


async def test_a_backend_credential_replaces_the_clients(api: Api, upstream: Upstream) -> None:
    auth = {"in": "header", "name": "X-Backend-Key", "value": "sekret"}
    await api.route(upstream.url, backend_auth=auth)
    await api.get("/a", {"x-backend-key": "client-sent", "X_Backend_Key": "client-sent"})
    assert upstream.seen[0].all("X-Backend-Key") == ["sekret"]
    assert not upstream.seen[0].all("X_Backend_Key"), "the same to who reads it from CGI"
    auth = {"in": "query", "name": "appid", "value": "a&b"}
    await api.route(upstream.url, backend_auth=auth)
    await api.get("/a?x=%20&app%69d=mine&y")
    assert upstream.seen[1].target == "/?x=%20&y&appid=a%26b"


async def test_an_unknown_path_an_idle_route_and_a_wrong_method_have_their_answers(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, "/m", methods=["GET", "POST"])
    await api.route(upstream.url, "/off", id="r2", activated=False)
    unknown = await api.get("/nothing")
    wrong = await api.send("PUT", "/m/x", data=b"1")
    idle = await api.get("/off")
    assert (unknown.status, wrong.status, idle.status) == (404, 405, 503)
    assert wrong.headers["Allow"] == "GET, POST"
    assert (await unknown.json(content_type=None))["title"] == "No matching API route"
    assert upstream.seen == []


@pytest.mark.parametrize(
    "value", [b"caf\xe9", "caf\u00e9 \U0001f600".encode(), b"\xff\xed\xa0\x80"]
)
async def test_bytes_outside_ascii_pass_as_they_are(
    api: Api, upstream: Upstream, value: bytes
) -> None:
    await api.route(upstream.url)
    await api.policy("rate_limit", {"requests": 9, "window": "60s", "by": "header:X-Name"})
    sent = b"GET /a HTTP/1.1\r\nHost: x\r\nX-Name: %b\r\nConnection: close\r\n\r\n" % value
    assert (await exchange(api.gateway.port, sent)).startswith(b"HTTP/1.1 200")
    assert upstream.seen[0].all("X-Name") == [value.decode("latin-1")]


async def test_a_request_that_comes_round_is_refused(api: Api) -> None:
    await api.route(f"{api.gateway.base_url}/a")
    answer = await api.get("/a")
    assert answer.status == 508
    assert (await answer.json(content_type=None))["title"] == "Loop detected"


async def test_a_chain_of_two_gateways_is_no_loop_but_a_ring_is(
    api: Api, upstream: Upstream
) -> None:
    async with running() as second:
        await api.route(second.gateway.base_url, prefix="/chain", strip_path=False)
        await second.route(upstream.url, prefix="/chain")
        assert (await api.get("/chain")).status == 200
        assert upstream.seen[0].all("Via")[0] != upstream.seen[0].all("Via")[1]
        await second.route(api.gateway.base_url, prefix="/chain", strip_path=False)
        assert (await api.get("/chain")).status == 508


async def test_a_header_in_latin_1_passes_as_text(api: Api, start_upstream: Any) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(
            b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\nContent-Length: 2\r\n\r\nok"
        )
        request.transport.close()
        return web.Response()

    upstream = await start_upstream(answer)
    await api.route(upstream.url)
    response = await api.get("/a")
    assert response.status == 200
    assert response.headers["X-Name"] == "café"
