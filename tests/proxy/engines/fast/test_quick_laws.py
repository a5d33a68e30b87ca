"""Usual requests are served alike by both engines, in any order, whatever is remembered of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.access_logs import AccessLogs

from tests.laws import examples
from tests.proxy.conftest import Api, FakeClock, running
from tests.proxy.raw import read_head, serving

PATHS = (
    "/open/1", "/open/2?q=1&token=t", "/open", "/keyed/1", "/keyed/2?a=b", "/plan", "/balanced/x",
    "/basic/y?z", "/byid", "/asked/1", "/nothing", "/open/3?q=%41%%s",
)  # fmt: skip
LINES = (
    "Accept: text/html\r\n", "Accept: */*\r\n", "accept:text/css \r\n", "X-Key: k1\r\n",
    "X-Key: k2\r\n", "X-Key: none\r\n", "X-Request-Id: 1\r\n", "X-Request-Id: 2\r\n",
    "x-request-id:  3\r\n", "User-Agent: a\r\n", "User-Agent: b%s\r\n",
    "Referer: https://x.example/p?secret=1\r\n", "Connection: keep-alive\r\n",
    "Connection: X-Request-Id\r\n", "X-Forwarded-For: 198.51.100.1\r\n",
    "Connection: close\r\n", "X_Consumer_Id: root\r\n",
    "Authorization: Bearer mine\r\n", "authorization: Basic mine\r\n",
    "X-Id: one\r\n", "X-Id: two\r\n", "Content-Length: 0\r\n", "Expect: 100-continue\r\n",
    "X-Latin: \xe9\r\n", "X-Empty:\r\n", "X-Bad : 1\r\n", "X-Nul: \x00\r\n",
    "Host: twice.example\r\n", "Via: 1.1 other\r\n", "X-Tab: a\tb\r\n",
)  # fmt: skip
# What is never the same twice, nearly.
numbers = st.integers(0, 10**6)
new_lines = st.builds("{}: {}\r\n".format, st.sampled_from(("X-Request-Id", "x-id")), numbers)
new_paths = st.builds("/{}/{}".format, st.sampled_from(("open", "keyed", "byid", "asked")), numbers)
requests = st.tuples(
    st.sampled_from(("GET", "DELETE", "HEAD")),
    st.one_of(st.sampled_from(PATHS), new_paths),
    st.sampled_from(("a.example", "a.example:80")),
    st.lists(st.one_of(st.sampled_from(LINES), st.sampled_from(LINES), new_lines), max_size=6),
)
changes = st.sampled_from(("revoke", "grant", "tick", "limit"))
steps = st.lists(st.one_of(requests, requests, requests, changes), min_size=1, max_size=30)
# What comes again and again is what is remembered.
repeated = st.lists(requests, min_size=1, max_size=4).flatmap(
    lambda few: st.lists(st.one_of(*[st.sampled_from(few)] * 7, changes), min_size=20, max_size=60)
)


class Upstream:
    """Answers 200, and remembers the heads that it got."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            self.heads.append(_normalise(head))
            body = b"" if head.startswith(b"HEAD") else b"ok"
            writer.write(
                b"HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\n"
                b"Content-Length: 2\r\nX-Of: upstream\r\n\r\n" + body
            )


def _normalise(head: bytes) -> bytes:
    # aiohttp writes names that it knows in its own way.
    head = re.sub(rb"\r\n[^:\r]+:", lambda found: found[0].lower(), head)
    head = re.sub(rb"stoa-gateway-[0-9a-f]{8}", b"us", head)
    return re.sub(rb"\r\nhost: 127\.0\.0\.1:\d+", b"\r\nhost: upstream", head)


async def fill(api: Api, url: str) -> None:
    targets = [{"url": url, "weight": 2}, {"url": url + "/second", "weight": 1}]
    routes: dict[str, dict[str, Any]] = {
        "open": {}, "keyed": {}, "byid": {}, "plan": {"plans": [{"name": "gold", "per_minute": 3}]},
        "balanced": {"upstreams": targets, "load_balancer": "weighted"},
        "basic": {"backend_auth": {"type": "basic", "username": "u", "password": "p"}},
    }  # fmt: skip
    for name, fields in routes.items():
        await api.route(url, prefix=f"/{name}", id=name, name=name, **fields)
        await api.policy("logging", {"redact": ["client"]}, name)
    asking = {"id": "asking", "name": "asking", "headers": {"X-Id": ["two"]}}
    await api.route(url + "/two", prefix="/asked", **asking)
    await api.route(url + "/any", prefix="/asked", id="asked", name="asked")
    for name in ("keyed", "plan"):
        await api.policy("api_key", {"name": "X-Key"}, name)
    await api.policy("quota", {"requests": 9, "period": "hour"}, "keyed")
    await api.policy("ip_filter", {"allow": ["127.0.0.0/8"]}, "byid")
    await api.policy("rate_limit", {"requests": 2, "window": "60s", "by": "header:X-Id"}, "byid")
    await api.consumer("k2", "c2", subscriptions=[{"api_id": "keyed"}])
    await change(api, "grant")


async def change(api: Api, what: str) -> None:
    if what == "grant":
        ends = {"expires_at": "2026-06-01T00:00:20Z"}
        subscriptions = [{"api_id": "keyed"} | ends, {"api_id": "plan", "plan": "gold"}]
        await api.consumer(subscriptions=subscriptions)
    elif what == "revoke":
        await api.admin("DELETE", "/admin/consumers/c1")
    else:
        await api.policy("rate_limit", {"requests": 4, "window": "60s"}, "keyed")


def encode(method: str, path: str, host: str, lines: list[str]) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{''.join(lines)}\r\n".encode("latin-1")


class Connection:
    """A connection that is kept as long as the other end keeps it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, sent: bytes) -> tuple[list[bytes], bytes]:
        """Return the lines of the answer's head but for dates and the like, and its body."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(sent)
        async with asyncio.timeout(30):
            while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100"):
                pass
            lines = sorted(map(bytes.lower, head.split(b"\r\n")))
            lengths = [int(one[15:]) for one in lines if one.startswith(b"content-length")]
            body = b""
            if not sent.startswith(b"HEAD"):
                body = await reader.readexactly(lengths[0])
        if b"connection: close" in lines:
            await self.close()
        dropped = (b"date:", b"connection: keep-alive", b"server:")
        return [line for line in lines if not line.startswith(dropped)], body

    async def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


class Side:
    """One engine, its upstream, and what it logged."""

    def __init__(self, api: Api, upstream: Upstream) -> None:
        self.api = api
        self.upstream = upstream
        self.client = Connection(api.gateway.port)
        self.logged: list[dict[str, Any]] = []
        logs = api.gateway.pipeline.states.of(AccessLogs)
        logs.push = self._note  # type: ignore[method-assign]

    def _note(self, places: Any, line: bytes) -> None:
        fields = json.loads(line)
        assert fields.pop("seconds") >= 0
        self.logged.append({"to": list(places)} | fields)

    def counts(self) -> Any:
        """What was counted of all requests."""
        pipeline = self.api.gateway.pipeline
        usage = {key: one.usage.figures()[:5] for key, one in pipeline.usage.apis()}
        return usage, pipeline.metrics._requests, pipeline.backends.balancers._selections


@asynccontextmanager
async def side(engine: str, clock: FakeClock) -> AsyncIterator[Side]:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running(engine=engine, clock=clock) as api:
        made = Side(api, upstream)
        await fill(api, url)
        try:
            yield made
        finally:
            await made.client.close()


async def compare(sequence: list[Any]) -> None:
    clock = FakeClock()
    async with side("fast", clock) as fast, side("aiohttp", clock) as complete:
        for step in sequence:
            if step == "tick":
                clock.advance(13)
            elif isinstance(step, str):
                await change(fast.api, step)
                await change(complete.api, step)
            else:
                sent = encode(*step)
                assert await fast.client.ask(sent) == await complete.client.ask(sent), sent
                assert fast.upstream.heads == complete.upstream.heads, sent
        assert fast.logged == complete.logged
        assert fast.counts() == complete.counts()


@given(st.one_of(steps, repeated))
@examples(200)
def test_both_engines_serve_alike(sequence: list[Any]) -> None:
    asyncio.run(compare(sequence))


async def test_what_is_remembered_of_a_method_is_not_said_of_another() -> None:
    usual = [("GET", "/open/1", "a.example", []), ("GET", "/keyed/1", "a.example", [LINES[3]])]
    others = [(m, path, host, lines) for m in ("DELETE", "HEAD") for _, path, host, lines in usual]
    await compare([*usual * 14, *others * 2, *usual])


async def test_each_line_is_served_alike_beside_each_other_value_and_twice() -> None:
    await compare(
        [
            ("GET", path, "a.example", [line, *more])
            for path in PATHS[:-2]
            for more in (["X-Key: k1\r\n"], ["X-Key: k2\r\n", "X-Request-Id: 9\r\n"])
            for line in LINES
            for _ in range(2)
        ]
    )


async def test_subscriptions_end_and_keys_are_revoked_between_equal_requests() -> None:
    keyed = ("GET", "/keyed/1", "a.example", ["X-Key: k1\r\n"])
    await compare(
        [keyed, keyed, keyed, "tick", keyed, "tick", keyed, "grant", keyed, "revoke", keyed]
    )
