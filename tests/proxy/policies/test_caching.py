"""`caching` on the real engine: what a shared cache may keep, and what it never shows to others."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from stoa_proxy.core.response_cache import ResponseCache
from stoa_proxy.policies import POLICIES

from tests.proxy.conftest import Api, FakeClock, Upstream
from tests.proxy.raw import read_head, serving

Start = Callable[..., Awaitable[Upstream]]
Exchange = tuple[int, str]


class Origin:
    """Answers with a number that grows with each response, and with `headers` and `status`."""

    def __init__(self) -> None:
        self.count = 0
        self.headers: dict[str, str] = {}
        self.status = 200
        self.etag = ""
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()
        self.seen: list[web.BaseRequest] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        headers = self.headers | ({"ETag": self.etag} if self.etag else {})
        if self.etag and request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304, headers=headers)
        self.count += 1
        return web.Response(status=self.status, text=str(self.count), headers=headers)


@pytest.fixture
def origin() -> Origin:
    return Origin()


@pytest.fixture
async def cached(api: Api, origin: Origin, start_upstream: Start) -> Callable[..., Awaitable[Api]]:
    upstream = await start_upstream(origin.answer)

    async def configure(**config: Any) -> Api:
        await api.route(upstream.url, timeout_ms=600_000)
        await api.policy("caching", {"ttl": "1m", **config})
        return api

    return configure


async def get(api: Api, path: str = "/a/x", **headers: str) -> Exchange:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await api.get(path, sent)
    return answer.status, await answer.text()


async def bodies(api: Api, count: int, path: str = "/a/x", **headers: str) -> list[str]:
    return [(await get(api, path, **headers))[1] for _ in range(count)]


def results(api: Api) -> dict[str, int]:
    return {
        name: count
        for name, count in api.gateway.pipeline.states.of(ResponseCache).results.items()
        if count
    }


async def test_a_response_is_served_again_with_its_age_until_its_time_is_over(
    cached: Any, clock: FakeClock
) -> None:
    api = await cached()
    first = await api.get("/a/x")
    assert "Age" not in first.headers
    clock.advance(59)
    again = await api.get("/a/x")
    assert (await again.text(), again.headers["Age"]) == ("1", "59")
    assert again.headers["Cache-Status"] == "stoa-gateway; hit; ttl=1"
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    clock.advance(1)
    assert await bodies(api, 2) == ["2", "2"]
    assert results(api) == {"hit": 2, "miss": 2}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "max-age=10"}, 10),
        ({"Cache-Control": "max-age=10, s-maxage=20"}, 20),
        ({"Cache-Control": 'public, ext="a,max-age=9", max-age=30'}, 30),
        ({"Cache-Control": "max-age=30", "Age": "20"}, 10),
        ({"Date": "Mon, 01 Jun 2026 00:00:00 GMT", "Expires": "Mon, 01 Jun 2026 00:00:15 GMT"}, 15),
        ({"Expires": "0"}, 0),
        ({"Cache-Control": "max-age=x"}, 0),
        ({"Cache-Control": "max-age=0"}, 0),
        ({"Cache-Control": "no-store"}, 0),
        ({"Cache-Control": "private, max-age=60"}, 0),
        ({"Cache-Control": 'Private="X-A", max-age=60'}, 0),
        ({"Cache-Control": "no-cache, max-age=60"}, 0),
        ({"Set-Cookie": "s=1"}, 0),
        ({"Vary": "*"}, 0),
        ({"Vary": "Accept, *"}, 0),
        ({}, 60),
    ],
    ids=str,
)
async def test_what_the_backend_says_goes_before_the_policy(
    cached: Any, origin: Origin, clock: FakeClock, headers: dict[str, str], seconds: int
) -> None:
    api = await cached()
    origin.headers = headers
    await get(api)
    if seconds:
        clock.advance(seconds - 1)
        assert await bodies(api, 1) == ["1"]
        clock.advance(1)
    assert await bodies(api, 1) == ["2"]


@pytest.mark.parametrize(
    ("status", "config", "is_kept"),
    [
        (404, {}, False),
        (404, {"statuses": [200, 404]}, True),
        (500, {}, False),
        (301, {"statuses": [301]}, True),
    ],
)
async def test_statuses_that_the_policy_names_are_kept(
    cached: Any, origin: Origin, status: int, config: dict[str, Any], is_kept: bool
) -> None:
    api = await cached(**config)
    origin.status = status
    assert await bodies(api, 2) == (["1", "1"] if is_kept else ["1", "2"])


async def test_variants_are_told_apart_by_what_vary_names_and_the_policy(
    cached: Any, origin: Origin
) -> None:
    api = await cached(varyHeaders=["X-Team"])
    origin.headers = {"Vary": "Accept-Language"}
    asked = [("de", "a"), ("en", "a"), ("de", "b"), ("de", "a"), ("en", "a"), ("de", "b")]
    found = [(await get(api, Accept_Language=lang, X_Team=team))[1] for lang, team in asked]
    assert found == ["1", "2", "3", "1", "2", "3"]


async def test_a_compressed_response_is_for_those_who_can_read_it(
    cached: Any, origin: Origin
) -> None:
    api = await cached()
    origin.headers = {"Content-Encoding": "br"}
    assert await bodies(api, 2, Accept_Encoding="br, gzip") == ["1", "1"]
    assert await bodies(api, 1, Accept_Encoding="gzip,br") == ["1"]
    assert await bodies(api, 1, Accept_Encoding="identity") == ["2"]


@pytest.mark.parametrize("name", ["Authorization", "Cookie"])
async def test_a_response_to_a_credential_is_kept_only_where_the_backend_says_it_is_for_all(
    cached: Any, origin: Origin, name: str
) -> None:
    api = await cached()
    mine, yours = {name: "mine"}, {name: "yours"}
    assert [(await get(api, **one))[1] for one in (mine, yours, mine)] == ["1", "2", "3"]
    # Nor does somebody with a credential get what was for nobody in particular.
    assert await bodies(api, 2) == ["4", "4"]
    assert await bodies(api, 1, **mine) == ["5"]
    for number, value in enumerate(("public", "s-maxage=60", "max-age=60, must-revalidate")):
        origin.headers = {"Cache-Control": value}
        path = f"/a/{number}"
        found = [(await get(api, path, **one))[1] for one in (mine, yours, {})]
        assert len(set(found)) == 1


async def test_consumers_of_keys_have_responses_of_their_own(cached: Any, origin: Origin) -> None:
    api = await cached()
    await api.policy("api_key", {})
    for number in (1, 2):
        await api.consumer(f"k{number}", consumer_id=f"c{number}")
    assert await bodies(api, 2, X_API_Key="k1") == ["1", "1"]
    assert await bodies(api, 2, X_API_Key="k2") == ["2", "2"]
    assert (await get(api))[0] == 401
    origin.headers = {"Cache-Control": "public, max-age=60"}
    assert await bodies(api, 1, "/a/y", X_API_Key="k1") == ["3"]
    assert await bodies(api, 1, "/a/y", X_API_Key="k2") == ["3"]


async def test_policies_before_and_behind_it_work_for_what_is_served(cached: Any) -> None:
    api = await cached()
    await api.policy("rate_limit", {"requests": 2, "window": "1h"})
    await api.policy("cors", {"origins": ["https://a.test"]})
    await api.policy("headers", {"response": {"set": {"X-A": "1"}}})
    assert (await api.get("/a/x")).status == 200
    answer = await api.get("/a/x", {"Origin": "https://a.test"})
    assert await answer.text() == "1"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.test"
    assert answer.headers.getall("X-A") == ["1"]
    assert (await api.get("/a/x")).status == 429


async def test_a_stale_response_is_validated_and_served_again(
    cached: Any, origin: Origin, clock: FakeClock
) -> None:
    api = await cached()
    origin.etag, origin.headers = '"v1"', {"Cache-Control": "max-age=10", "X-Part": "a"}
    assert await bodies(api, 1) == ["1"]
    clock.advance(10)
    origin.headers = {"Cache-Control": "max-age=20", "X-Part": "b"}
    answer = await api.get("/a/x", {"If-None-Match": '"mine"'})
    assert (answer.status, await answer.text(), answer.headers["X-Part"]) == (200, "1", "b")
    assert origin.seen[-1].headers.getall("If-None-Match") == ['"v1"']
    clock.advance(19)
    assert await bodies(api, 1) == ["1"]
    assert len(origin.seen) == 2
    clock.advance(1)
    origin.etag = '"v2"'
    assert await bodies(api, 2) == ["2", "2"]
    assert results(api) == {"hit": 2, "miss": 3, "revalidated": 1}


async def test_no_cache_is_validated_each_time(cached: Any, origin: Origin) -> None:
    api = await cached()
    origin.etag, origin.headers = '"v1"', {"Cache-Control": "no-cache"}
    assert await bodies(api, 3) == ["1"] * 3
    assert len(origin.seen) == 3
    assert origin.count == 1


async def test_a_client_that_has_it_is_told_so_without_the_backend(
    cached: Any, origin: Origin
) -> None:
    api = await cached()
    origin.etag, origin.headers = '"v1"', {"Last-Modified": "Mon, 01 Jun 2026 00:00:00 GMT"}
    await get(api)
    for headers in (
        {"If-None-Match": 'W/"v1", "v0"'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Mon, 01 Jun 2026 00:00:00 GMT"},
    ):
        answer = await api.get("/a/x", headers)
        assert (answer.status, await answer.text()) == (304, "")
        assert answer.headers["ETag"] == '"v1"'
    for headers in (
        {"If-None-Match": '"v2"', "If-Modified-Since": "Mon, 01 Jun 2026 00:00:00 GMT"},
        {"If-Modified-Since": "Sun, 31 May 2026 00:00:00 GMT"},
        {"If-Modified-Since": "never"},
    ):
        assert (await api.get("/a/x", headers)).status == 200
    assert len(origin.seen) == 1


@pytest.mark.parametrize(
    ("directives", "seconds", "is_served"),
    [
        ("max-age=10, stale-if-error=30", 39, True),
        ("max-age=10, stale-if-error=30", 41, False),
        ("max-age=10, stale-if-error=30, must-revalidate", 11, False),
        ("max-age=10", 11, False),
    ],
)
async def test_errors_are_stood_in_for_as_long_as_the_backend_allows(
    cached: Any,
    origin: Origin,
    clock: FakeClock,
    closed_url: str,
    directives: str,
    seconds: int,
    is_served: bool,
) -> None:
    api = await cached()
    origin.headers = {"Cache-Control": directives}
    assert await bodies(api, 1) == ["1"]
    clock.advance(seconds)
    origin.status, origin.headers = 503, {}
    status, body = await get(api)
    assert (status, body) == ((200, "1") if is_served else (503, "2"))


async def test_a_backend_that_is_down_or_cut_off_is_stood_in_for(
    api: Api, clock: FakeClock
) -> None:
    is_down = False

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        if not is_down:
            writer.write(
                b"HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-if-error=600\r\n"
                b"Content-Length: 2\r\nConnection: close\r\n\r\nok"
            )
            await writer.drain()

    async with serving(talk) as url:
        await api.route(url)
        await api.policy("caching", {"ttl": "0s"})
        await api.policy("circuit_breaker", {"failures": 1, "window": "1m", "reset": "10m"})
        assert await get(api) == (200, "ok")
        is_down = True
        clock.advance(2)
        assert await get(api) == (200, "ok")  # no answer
        assert await get(api) == (200, "ok")  # the circuit is open
        assert (await get(api, "/a/other"))[0] == 503
    assert results(api)["stale"] == 2


async def test_equal_misses_ask_the_backend_once(cached: Any, origin: Origin) -> None:
    api = await cached()
    origin.gate = asyncio.Event()
    first = asyncio.create_task(get(api))
    await asyncio.wait_for(origin.begun.wait(), 30)
    others = [asyncio.create_task(get(api)) for _ in range(8)]
    different = asyncio.create_task(get(api, "/a/y"))
    async with asyncio.timeout(30):
        while len(origin.seen) < 2:
            await asyncio.sleep(0)
    origin.gate.set()
    found = await asyncio.gather(first, *others)
    assert len(set(found)) == 1
    await different
    assert [request.path for request in origin.seen] == ["/x", "/y"]
    assert results(api) == {"miss": 2, "collapsed": 8}


async def test_those_that_wait_go_on_when_the_first_leaves(
    cached: Any, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_proxy.policies.caching._WAIT_SECONDS", 3600.0)
    api = await cached()
    origin.gate = asyncio.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(b"GET /a/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await asyncio.wait_for(origin.begun.wait(), 30)
    host = {"Host": "127.0.0.1", "Accept": "", "Accept-Encoding": ""}
    waiting = [asyncio.create_task(api.get("/a/x", host)) for _ in range(3)]
    await asyncio.sleep(0.02)
    writer.transport.abort()
    origin.gate.set()
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 30)
    assert [answer.status for answer in answers] == [200] * 3


async def test_responses_that_are_not_kept_are_waited_for_once(cached: Any, origin: Origin) -> None:
    api = await cached()
    origin.headers = {"Cache-Control": "no-store"}
    await get(api)
    origin.gate = asyncio.Event()
    tasks = [asyncio.create_task(get(api)) for _ in range(4)]
    async with asyncio.timeout(30):
        while len(origin.seen) < 5:
            await asyncio.sleep(0)
    origin.gate.set()
    assert len(set(await asyncio.gather(*tasks))) == 4


@pytest.mark.parametrize(
    "forbidding",
    [
        {"Cache-Control": "private, max-age=60"},
        {"Cache-Control": "no-store"},
        {"Vary": "*"},
        {"Vary": "X-Who"},
    ],
    ids=str,
)
async def test_a_validation_that_says_it_is_not_for_all_ends_what_is_kept(
    cached: Any, origin: Origin, clock: FakeClock, forbidding: dict[str, str]
) -> None:
    api = await cached()
    origin.etag, origin.headers = '"v1"', {"Cache-Control": "max-age=10"}
    assert await bodies(api, 1, X_Who="me") == ["1"]
    clock.advance(10)
    origin.headers = {"Cache-Control": "max-age=60", **forbidding}
    assert await bodies(api, 1, X_Who="me") == ["1"]
    origin.etag = ""
    assert await bodies(api, 1, X_Who="you") == ["2"]


async def test_conditions_are_not_those_of_errors_that_are_kept(
    cached: Any, origin: Origin
) -> None:
    api = await cached(statuses=[404])
    origin.status = 404
    await get(api)
    assert await get(api, If_None_Match="*") == (404, "1")


def third_waits(api: Api) -> bool:
    flights = api.gateway.pipeline.states.of(ResponseCache).flights._flights
    return any(flight._waiting for flight in flights.values())


async def test_a_client_that_never_reads_keeps_others_waiting_once_and_not_again(
    api: Api, start_upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates: list[asyncio.Event] = []
    came = asyncio.Queue[int]()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        gates.append(asyncio.Event())
        came.put_nowait(len(gates))
        await gates[-1].wait()
        return web.Response(text="ok")

    upstream = await start_upstream(answer)
    await api.route(upstream.url)
    await api.policy("caching", {"ttl": "1m"})
    monkeypatch.setattr("stoa_proxy.policies.caching._WAIT_SECONDS", 0.02)
    async with asyncio.timeout(30):
        first = asyncio.create_task(get(api))
        await came.get()
        second = asyncio.create_task(get(api))
        assert await came.get() == 2
        monkeypatch.setattr("stoa_proxy.policies.caching._WAIT_SECONDS", 60.0)
        third = asyncio.create_task(get(api))
        while not third_waits(api):
            await asyncio.sleep(0)
        gates[1].set()
        assert await second == await third == (200, "ok")
        gates[0].set()
        await first


@pytest.mark.parametrize(
    ("method", "status", "is_gone"),
    [("POST", 200, True), ("DELETE", 204, True), ("PUT", 500, False), ("PATCH", 409, False)],
)
async def test_a_change_that_succeeds_makes_what_is_kept_invalid(
    cached: Any, origin: Origin, method: str, status: int, is_gone: bool
) -> None:
    api = await cached()
    assert await bodies(api, 1) == ["1"]
    origin.status = status
    await api.send(method, "/a/x", data=b"new")
    origin.status = 200
    assert await bodies(api, 1) == (["3"] if is_gone else ["1"])


async def test_head_is_answered_from_what_get_brought(cached: Any, origin: Origin) -> None:
    api = await cached()
    assert (await api.send("HEAD", "/a/x")).status == 200
    assert await bodies(api, 1) == ["2"]
    answer = await api.send("HEAD", "/a/x")
    assert (answer.headers["Content-Length"], await answer.text()) == ("1", "")
    assert len(origin.seen) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1"},
        {"If-Match": '"x"'},
        {"X-Original-URL": "/admin"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Cache-Control": "no-store"},
    ],
    ids=str,
)
async def test_requests_that_no_key_can_describe_pass_by(
    cached: Any, headers: dict[str, str]
) -> None:
    api = await cached()
    answers = [await api.get("/a/x", headers) for _ in range(2)]
    assert [await answer.text() for answer in answers] == ["1", "2"]
    assert await bodies(api, 2) == ["3", "3"]
    assert await (await api.get("/a/x", headers)).text() == "4"


async def test_a_handshake_of_websocket_is_never_answered_from_what_is_kept(
    cached: Any, origin: Origin
) -> None:
    api = await cached()
    assert await bodies(api, 2) == ["1", "1"]
    handshake = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    assert await (await api.get("/a/x", handshake)).text() == "2"
    assert await bodies(api, 1) == ["1"]


async def test_what_a_client_asks_of_caches_is_done(cached: Any, clock: FakeClock) -> None:
    api = await cached()
    assert (await get(api, Cache_Control="only-if-cached"))[0] == 504
    await get(api)
    clock.advance(20)
    cases = {
        "max-age=30": "1", "min-fresh=30": "1", "only-if-cached": "1", "max-age=19": "2",
        "no-cache": "3", "min-fresh=61": "4",
    }  # fmt: skip
    for directive, body in cases.items():
        assert (await get(api, Cache_Control=directive))[1] == body
        clock.advance(20 if body != "1" else 0)
    assert (await get(api, Pragma="no-cache"))[1] == "5"


async def test_the_host_is_part_of_what_a_response_is_of(cached: Any, origin: Origin) -> None:
    api = await cached()
    assert await bodies(api, 1, Host="a.test") == ["1"]
    assert await bodies(api, 1, Host="evil.test") == ["2"]
    assert await bodies(api, 1, Host="a.test") == ["1"]
    # What says of a client who it is never comes through (`sanitize`), nor changes the key.
    assert await bodies(api, 1, Host="a.test", X_Forwarded_Host="evil.test") == ["1"]


async def test_a_header_that_the_gateway_writes_does_not_tell_clients_apart(
    cached: Any, origin: Origin
) -> None:
    api = await cached()
    origin.headers = {"Vary": "X-Forwarded-For"}
    assert await bodies(api, 2) == ["1", "2"]
    await api.policy("headers", {"request": {"set": {"X-Role": "admin"}}})
    origin.headers = {"Vary": "X-Role"}
    assert await bodies(api, 2, "/a/y") == ["3", "4"]


async def test_queries_are_part_of_it_as_the_policy_says_and_keys_are_not(
    cached: Any, origin: Origin
) -> None:
    api = await cached()
    assert [(await get(api, f"/a/x?{q}"))[1] for q in ("a=1", "a=2", "a=1")] == ["1", "2", "1"]
    await api.policy("caching", {"ttl": "1m", "varyQuery": ["page"]})
    asked = ("page=1&utm=a", "page=1&utm=b", "page=2", "%70age=2&x")
    assert [(await get(api, f"/a/x?{q}"))[1] for q in asked] == ["3", "3", "4", "5"]
    await api.policy("caching", {"ttl": "2m"})
    await api.policy("api_key", {"in": "query", "name": "k"})
    await api.consumer("one")
    await api.consumer("two", credentials=[
        {"type": "api_key", "key_sha256": hashlib.sha256(key).hexdigest()}
        for key in (b"one", b"two")
    ])  # fmt: skip
    assert [(await get(api, f"/a/z?k={k}"))[1] for k in ("one", "two")] == ["6", "6"]


async def test_large_and_broken_responses_are_passed_on_and_not_kept(
    api: Api, clock: FakeClock
) -> None:
    calls = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        head = await read_head(reader)
        calls += 1
        if b"/large" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16e360\r\n")
            writer.write(b"x" * 1_500_000 + b"\r\n0\r\n\r\n")
        elif b"/unsaid" in head:  # all of it, or a part of one that died: nobody can tell
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
        elif b"/said" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1500000\r\n\r\n" + b"x" * 1_500_000)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()

    async with serving(talk) as url:
        await api.route(url)
        await api.policy("caching", {"ttl": "1m"})
        for path in ("/a/large", "/a/said"):
            for _ in range(2):
                assert len(await (await api.get(path)).text()) == 1_500_000
        for _ in range(2):
            assert await get(api, "/a/unsaid") == (200, "half")
        for _ in range(2):
            with pytest.raises(aiohttp.ClientError):
                await api.get("/a/broken")
    assert calls == 8
    cache = api.gateway.pipeline.states.of(ResponseCache)
    assert (len(cache), cache.size, len(cache.flights)) == (0, 0, 0)


async def test_apis_tenants_and_other_rules_have_nothing_in_common(
    cached: Any, origin: Origin, start_upstream: Start
) -> None:
    api = await cached()
    other = await start_upstream(origin.answer)
    assert await bodies(api, 1) == ["1"]
    await api.policy("caching", {"ttl": "1m", "varyHeaders": ["X-Team"]})
    assert await bodies(api, 2) == ["2", "2"]
    # Another backend: what the old one said is of no use.
    await api.route(other.url)
    assert await bodies(api, 2) == ["3", "3"]


async def test_a_fallback_is_never_kept_for_the_backend(
    cached: Any, origin: Origin, upstream: Upstream, start_upstream: Start
) -> None:
    api = await cached()
    failing = await start_upstream(origin.answer)
    await api.route(failing.url, fallback_url=upstream.url)
    origin.status = 500
    assert (await api.get("/a/x")).headers["X-Stoa-Fallback"] == "status-500"
    origin.status = 200
    answer = await api.get("/a/x")
    assert "X-Stoa-Fallback" not in answer.headers


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "config.ttl"),
        ({"ttl": "1m", "methods": ["POST"]}, "config.methods"),
        ({"ttl": "1m", "methods": []}, "config.methods"),
        ({"ttl": "1m", "statuses": [206]}, "config.statuses"),
        ({"ttl": "1m", "statuses": []}, "config.statuses"),
        ({"ttl": "1m", "statuses": [True]}, "config.statuses"),
        ({"ttl": "1m", "varyHeaders": ["a b"]}, "config.varyHeaders"),
    ],
    ids=str,
)
def test_a_config_that_cannot_work_is_refused_with_its_key(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        POLICIES.parse("caching", "p", config)
