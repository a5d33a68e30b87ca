"""The shortest way for checks of a sidecar says what the long one says, whatever came before."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.limit_headers import limit_headers
from stoa_proxy.core.limits import LimitResult
from stoa_proxy.engines.fast import check_shapes
from stoa_proxy.engines.fast.check_forms import limit_notes
from stoa_proxy.engines.fast.engine import FastEngine

from tests.laws import examples
from tests.proxy.conftest import Api, FakeClock, policy_body, route_body, running
from tests.proxy.raw import exchange

PATHS = ("/a", "/a/x", "/a/x?k=1", "/a/%78", "/a/../b", "/open/1", "/open", "/off", "/z",
         "/q?key=k1", "/h/1", "/a//b", "/i", "/i/2")  # fmt: skip
METHODS = ("GET", "POST", "OPTIONS", "HEAD", "PURGE")
HEADERS = (
    "", "X-API-Key: k1\r\n", "X-API-Key: k2\r\n", "X-API-Key: k9\r\n",
    "X-API-Key: k1\r\nX-Consumer-Level: gold\r\n", "X-API-Key: k1\r\nX-API-Key: k1\r\n",
    "X-API-Key: k1\r\nVia: 1.1 other\r\n", "X-Debug: 1\r\n",
    "Connection: x-api-key\r\nX-API-Key: k1\r\n",
    "X-Original-Host: open.test\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n",
)  # fmt: skip
HOSTS = ("api.acme.test", "open.test", "not a host")
CLIENTS = ("X-Forwarded-For: 198.51.100.7\r\n", "X-Forwarded-For: 203.0.113.9\r\n", "")

checks = st.tuples(
    st.sampled_from(("envoy", "nginx", "json")), st.sampled_from(METHODS), st.sampled_from(PATHS),
    st.sampled_from(HOSTS), st.sampled_from(HEADERS), st.sampled_from(CLIENTS),
)  # fmt: skip
changes = st.sampled_from(("revoke", "grant", "tick", "close", "open"))
# Few shapes, so that most checks have one that is known; values that come once and odd ones.
often = st.tuples(
    st.sampled_from(("envoy", "nginx")), st.sampled_from(("GET", "HEAD", "POST")),
    st.sampled_from((*PATHS, " /a ", "/a b", "/a?\u00e9")), st.just(HOSTS[0]),
    st.builds(
        "X-API-Key: {}\r\nX-Debug:{}\r\n".format,
        st.sampled_from(("k1", "k1 ", "k2", "k9", "")),
        st.sampled_from((" 1", "\t2 ", "", " a\x00b", " \u00e9", ":", " 3\r\nX-API-Key: k1"))
        | st.integers(0, 99).map(str),
    ),
    st.sampled_from(
        (*CLIENTS, "X-Forwarded-For: \r\n", "X-Forwarded-For: 198.51.100.8, 203.0.113.9\t\r\n",
         "x-forwarded-for:nobody\r\n", CLIENTS[0] + CLIENTS[1], "X-Forwarded-For: \u00e9\r\n")
    ),
)  # fmt: skip
steps = st.lists(st.one_of(checks, checks, checks, changes), min_size=1, max_size=30)


def encode(form: str, method: str, path: str, host: str, headers: str, client: str) -> bytes:
    if form == "envoy":
        return f"{method} /authz{path} HTTP/1.1\r\nHost: {host}\r\n{client}{headers}\r\n".encode()
    if form == "json":
        return encode_document(method, path, f"Host: {host}\r\n{headers}", client)
    named = f"X-Original-Method: {method}\r\nX-Original-URI: {path}\r\nX-Original-Host: {host}\r\n"
    return f"GET /authz HTTP/1.1\r\nHost: sidecar\r\n{named}{client}{headers}\r\n".encode()


def encode_document(method: str, path: str, headers: str, client: str, more: str = "") -> bytes:
    fields: dict[str, list[str]] = {}
    for line in headers.splitlines():
        name, _, value = line.partition(": ")
        fields.setdefault(name, []).append(value)
    document: dict[str, Any] = {"method": method, "path": path, "headers": fields}
    if client:
        document["source_ip"] = client.split()[1]
    return in_post(json.dumps(document).encode(), more)


def in_post(body: bytes, more: str = "", content_type: str = "application/json") -> bytes:
    head = f"POST /authz HTTP/1.1\r\nHost: sidecar\r\nContent-Type: {content_type}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def fill(api: Api) -> None:
    private = "http://10.9.8.7"
    plans = [{"name": "gold", "per_minute": 5}]
    await api.route(private, plans=plans)
    for name, prefix, fields in (
        ("open", "/open", {"hosts": ["open.test"]}), ("off", "/off", {"activated": False}),
        ("query", "/q", {}), ("edited", "/h", {}), ("by-ip", "/i", {}),
    ):  # fmt: skip
        await api.put("apis", route_body(private, prefix, **{"id": name, "name": name} | fields))
    config: dict[str, Any] = {"in": "query", "name": "key"}
    await api.policy("api_key", config, "query")
    edits = {"request": {"set": {"X-Region": "eu"}, "remove": ["X-Debug"]}}
    await api.policy("headers", edits, "edited")
    await api.policy("ip_filter", {"deny": ["203.0.113.0/24"]}, "edited")
    await api.policy("rate_limit", {"requests": 4, "window": "1m", "by": "ip"}, "edited")
    limit = policy_body("by-ip-limit", "by-ip", "rate_limit", {"requests": 3, "window": "1m"})
    await api.put("policies", limit)
    await api.consumer("k2", "c2")
    await change(api, "grant")


async def change(api: Api, what: str) -> None:
    if what == "grant":
        await api.consumer(subscriptions=[{"api_id": "r1", "plan": "gold"}, {"api_id": "query"}])
    elif what == "revoke":
        await api.admin("DELETE", "/admin/consumers/c1")
    elif what == "close":
        body = policy_body("deny", "open", "ip_filter", {"deny": ["0.0.0.0/0"]})
        await api.put("policies", body)
    elif what == "open":
        await api.admin("DELETE", "/admin/policies/deny")


class Connection:
    """A connection that is kept as long as the other end keeps it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, sent: bytes) -> tuple[bytes, bytes]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next(
            (int(one[15:]) for one in lines if one.lower().startswith(b"content-length")), 0
        )
        body = b"" if sent.startswith(b"HEAD") else await reader.readexactly(length)
        if any(line.lower() == b"connection: close" for line in lines):
            await self.close()
        dropped = [b"date:", b"connection:", b"server:"]
        if sent.startswith(b"HEAD"):
            dropped.append(b"content-length:")  # aiohttp leaves it out where it is 0
        lowered = sorted(map(bytes.lower, lines))
        kept = [line for line in lowered if not line.startswith(tuple(dropped))]
        return b"\n".join(kept), body

    async def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def compare(sequence: list[Any]) -> None:
    clock = FakeClock()
    async with (
        running(mode="sidecar", engine="fast", clock=clock) as fast,
        running(mode="sidecar", engine="aiohttp", clock=clock) as complete,
    ):
        await fill(fast)
        await fill(complete)
        one, other = (Connection(api.gateway.port) for api in (fast, complete))
        try:
            for step in sequence:
                if step == "tick":
                    clock.advance(13)
                elif isinstance(step, str):
                    await change(fast, step)
                    await change(complete, step)
                else:
                    sent = encode(*step)
                    assert await one.ask(sent) == await other.ask(sent), sent
        finally:
            await one.close()
            await other.close()
        counts = [dict(api.gateway.pipeline.metrics._requests) for api in (fast, complete)]
        assert counts[0] == counts[1]


@given(steps)
@examples(400)
def test_both_engines_decide_alike(sequence: list[Any]) -> None:
    asyncio.run(compare(sequence))


@given(st.lists(st.one_of(often, often, often, often, changes), min_size=4, max_size=40))
@examples(300)
def test_both_engines_decide_alike_where_shapes_are_known(sequence: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check_shapes, "_OFTEN", 1)
        asyncio.run(compare(sequence))


async def test_each_kind_of_check_is_decided_alike_twice() -> None:
    await compare(
        [
            (form, method, path, host, headers, CLIENTS[0])
            for form in ("envoy", "nginx", "json")
            for method in ("GET", "HEAD")
            for path in PATHS
            for host in HOSTS[:2]
            for headers in HEADERS[:7]
            for _ in range(2)
        ]
    )


ODD_DOCUMENTS = (
    in_post(b""), in_post(b"{}"), in_post(b"[1]"), in_post(b"{}", content_type="text/plain"),
    in_post(b" " * (64 * 1024 + 1)), in_post(b'{"method":"GET","path":"/a","headers":{}}'),
    in_post(b'{"method":"GET","path":"/a","method":"GET"}'),
    in_post(b'{"method":"GET","path":"/a","source_ip":"nobody"}'),
    encode_document("GET", "/a", "Host: a\r\nX-API-Key: k1\r\n", CLIENTS[0], "Via: 1.1 me\r\n"),
    encode_document("GET", "/a", "Host: a\r\n", "", "Connection: close\r\n"),
    encode_document("GET", "/a", "Host: a\r\n", "", "Transfer-Encoding: chunked\r\n"),
)  # fmt: skip


@pytest.mark.parametrize("sent", ODD_DOCUMENTS)
async def test_both_engines_answer_alike_whatever_a_document_is(sent: bytes) -> None:
    async with (
        running(mode="sidecar", engine="fast", clock=FakeClock()) as fast,
        running(mode="sidecar", engine="aiohttp", clock=FakeClock()) as complete,
    ):
        answers = []
        for api in (fast, complete):
            await fill(api)
            one = Connection(api.gateway.port)
            answers.append([await one.ask(sent), await one.ask(sent)])
            await one.close()
        assert answers[0] == answers[1]


@pytest.mark.parametrize("form", ["envoy", "nginx", "json"])
@pytest.mark.parametrize(("path", "headers", "count"), [("/a", HEADERS[1], 1), ("/i", "", 3)])
async def test_what_lets_one_client_pass_lets_others_unless_a_policy_asks_who_it_is(
    form: str, path: str, headers: str, count: int
) -> None:
    async with running(mode="sidecar", engine="fast") as api:
        await fill(api)
        one = Connection(api.gateway.port)
        for number in range(3):
            client = f"X-Forwarded-For: 198.51.100.{number}\r\n"
            answer = await one.ask(encode(form, "GET", path, HOSTS[0], headers, client))
            assert b"200 ok" in answer[0]
        engine = api.gateway._engine
        assert isinstance(engine, FastEngine)
        assert engine.check_lane is not None
        assert len(engine.check_lane._passes) == count
        await one.close()


@given(
    st.integers(1, 10**12), st.integers(0, 10**12), st.floats(0, 10**6),
    st.sampled_from((0.5, 1.0, 60.0, 86400.0)), st.sampled_from(("rate", "a%d", "quota")),
)  # fmt: skip
def test_a_document_says_of_limits_what_headers_do(
    limit: int, left: int, reset: float, window: float, name: str
) -> None:
    result = LimitResult(True, limit, left, reset, window, name)
    assert json.loads(limit_notes(result)) == dict(limit_headers(result))


async def test_documents_are_decided_without_aiohttp() -> None:
    async with running(mode="sidecar", engine="fast") as api:
        await fill(api)
        one = Connection(api.gateway.port)
        sent = encode_document("GET", "/a", "Host: a\r\nX-API-Key: k1\r\n", CLIENTS[0])
        for _ in range(2):
            head, body = await one.ask(sent)
            assert b"200 ok" in head
            assert json.loads(body)["allowed"] is True
        engine = api.gateway._engine
        assert isinstance(engine, FastEngine)
        assert len(engine.connections) == 1, "the connection was not handed over"
        await one.close()


@pytest.mark.parametrize("form", ["envoy", "nginx"])
async def test_checks_of_one_read_are_answered_in_their_order(form: str) -> None:
    async with running(mode="sidecar", engine="fast") as api:
        await fill(api)
        sent = b"".join(
            encode(form, "GET", path, HOSTS[0], HEADERS[1], CLIENTS[0])
            for path in ("/a", "/z", "/a", "/a")
        )
        last = encode(form, "GET", "/z", HOSTS[0], "Connection: close\r\n", CLIENTS[0])
        received = await exchange(api.gateway.port, sent + last)
        statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
        missing = b"404" if form == "envoy" else b"403"
        assert statuses == [b"200", missing, b"200", b"200", missing]
