"""The shortest way of usual requests: the same bytes as any other way, and nothing out of date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from stoa_proxy.engines.fast.exchange import Exchange
from stoa_proxy.tracing_config import TracingConfig

from tests.proxy.conftest import Api, FakeClock, route_body, running
from tests.proxy.raw import Talk, exchange, read_head, serving

GET = (
    b"GET /a/x?q=1 HTTP/1.1\r\nHost: x.example:80\r\nAccept: a, b\r\nX-Key: k1\r\n"
    b"X-User-Id: root\r\nConnection: keep-alive, X-Gone\r\nX-Gone: 1\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 Fine\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\nConnection: keep-alive\r\n"
    b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Stoa-Fallback: forged\r\nContent-Length: 2\r\n\r\nok"
)


class Client:
    """One connection, which asks again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, data: bytes = GET) -> tuple[bytes, bytes]:
        """Return head and body of the answer."""
        self._writer.write(data)
        async with asyncio.timeout(30):
            head = await read_head(self._reader)
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            return head, await self._reader.readexactly(size)

    async def read_on(self) -> bytes:
        """Return what comes until the end."""
        async with asyncio.timeout(30):
            return await self._reader.read()


@asynccontextmanager
async def client_of(api: Api) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    yield Client(reader, writer)
    writer.close()
    await writer.wait_closed()


class Upstream:
    """Answers what it is to answer, and remembers the heads that it got."""

    def __init__(self) -> None:
        self.answer = ANSWER
        self.heads: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.heads.append(await read_head(reader))
            writer.write(self.answer)


@pytest.fixture
def exchanges_made(monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """All requests that were not served the shortest way."""
    made: list[Exchange] = []
    begin = Exchange.__init__

    def note(exchange: Exchange, *values: object, **named: object) -> None:
        made.append(exchange)
        begin(exchange, *values, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Exchange, "__init__", note)
    return made


async def test_bytes_are_the_same_both_ways_and_both_ways_are_taken(
    exchanges_made: list[Exchange],
) -> None:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running(engine="fast") as api:
        await api.route(url + "/base")
        async with client_of(api) as client:
            # For the first one there is no kept connection.
            answers = [await client.ask() for _ in range(3)]
    assert len(exchanges_made) == 1
    assert len(set(upstream.heads)) == 1
    assert upstream.heads[0].startswith(b"GET /base/x?q=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    for gone in (b"X-Gone", b"X-User-Id", b"Connection"):
        assert gone not in upstream.heads[0]
    assert len(set(answers)) == 1
    assert answers[0][0].count(b"Set-Cookie") == 2
    assert b"forged" not in answers[0][0]


async def test_a_last_request_is_usual_and_its_answer_is_the_end(
    exchanges_made: list[Exchange],
) -> None:
    last = GET.replace(b"keep-alive, X-Gone", b"X-Gone, Close")
    upstream = Upstream()
    async with serving(upstream.talk) as url, running(engine="fast") as api:
        await api.route(url + "/base")
        answers = [await exchange(api.gateway.port, last) for _ in range(3)]
        async with client_of(api) as client:
            first, _ = await client.ask()
            head, body = await client.ask(last)
            assert await client.read_on() == b""
    assert len(exchanges_made) == 1, "for the first one there is no kept connection"
    assert len(set(upstream.heads)) == 1
    assert set(answers) == {head + body}
    assert head == first[:-2] + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nConnection: close\r\n\r\nok",
        b"X-Late: 1\r\n\r\nto the end",
    ],
)
async def test_responses_of_all_kinds_follow_on_usual_ones(rest: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(ANSWER)
        await read_head(reader)
        head, _, body = rest.partition(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Made\r\n" + head + b"\r\n\r\n")
        await asyncio.sleep(0)
        writer.write(body)

    async with serving(talk) as url, running(engine="fast") as api:
        await api.route(url)
        assert (await api.get("/a")).status == 200
        answer = await api.get("/a")
        assert answer.status == 201
        text = await answer.text()
        assert text == ("" if b"Length: 0" in rest else "to the end" if b"Late" in rest else "ok")


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_head(reader)
    writer.write(ANSWER)
    await read_head(reader)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await refuse(reader, writer)
    await reader.read()


@pytest.mark.parametrize(("talk", "status"), [(hang, 504), (refuse, 200)])
async def test_an_upstream_that_hangs_or_hangs_up_is_met_as_ever(talk: Talk, status: int) -> None:
    async with serving(talk) as url, running(engine="fast") as api:
        await api.route(url)
        assert (await api.get("/a")).status == 200
        if status == 504:
            await api.route(url, timeout_ms=150)
        # A kept connection that ends is replaced once (RFC 9112, 9.3.1).
        assert (await api.get("/a")).status == status


async def test_a_client_that_leaves_gives_everything_back() -> None:
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(ANSWER)
        await read_head(reader)
        asked.set()
        await reader.read()

    async with serving(talk) as url, running(engine="fast") as api:
        await api.route(url)
        assert (await api.get("/a")).status == 200
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(GET)
        await asked.wait()
        engine = api.gateway._engine
        assert dict(engine.client.in_flight.counts)
        writer.transport.abort()
        async with asyncio.timeout(30):
            while engine.client.in_flight.counts or engine.request_shares.tenants.counts:
                await asyncio.sleep(0)


async def test_changes_of_the_table_count_with_the_next_request(clock: FakeClock) -> None:
    first, second = Upstream(), Upstream()
    async with (
        serving(first.talk) as one,
        serving(second.talk) as other,
        running(engine="fast", clock=clock) as api,
        client_of(api) as client,
    ):
        await api.route(one)
        for _ in range(3):
            assert (await client.ask())[0].startswith(b"HTTP/1.1 200")
        await api.route(other)
        await client.ask()
        await client.ask()
        assert (len(first.heads), len(second.heads)) == (3, 2)
        await api.policy("api_key", {"name": "X-Key"})
        assert (await client.ask())[0].startswith(b"HTTP/1.1 401")
        await api.consumer("k1", subscriptions=[{"api_id": "r1"}])
        for _ in range(2):
            assert (await client.ask())[0].startswith(b"HTTP/1.1 200")
            assert b"X-Consumer-Id: c1\r\n" in second.heads[-1]
            assert b"X-Key" not in second.heads[-1]
        await api.policy("rate_limit", {"requests": 2, "window": "60s"})
        answers = [(await client.ask())[0] for _ in range(3)]
        assert [int(answer.split()[1]) for answer in answers] == [200, 200, 429]
        assert b"RateLimit-Remaining: 1\r\n" in answers[0]
        assert b"RateLimit-Remaining: 0\r\n" in answers[1]
        await api.consumer("k2", subscriptions=[{"api_id": "r1"}])
        assert (await client.ask())[0].startswith(b"HTTP/1.1 401"), "the key was replaced"


async def test_headers_that_differ_are_never_mixed_up() -> None:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running(engine="fast") as api:
        await api.route(url)
        async with client_of(api) as client:
            for number in range(1200):  # more than are remembered
                await client.ask(GET.replace(b"X-Key: k1", b"X-Key: %d" % (number % 700)))
            lane = api.gateway._engine.lane
            heads = lane._heads
            assert max(map(len, (heads._heads, heads._forms, lane._requests, lane._passes))) <= 512
            assert len(heads._lines) <= 4096
    for number, head in enumerate(upstream.heads):
        assert b"X-Key: %d\r\n" % (number % 700) in head


async def test_headers_that_are_known_do_not_let_a_longer_head_through(
    monkeypatch: pytest.MonkeyPatch, exchanges_made: list[Exchange]
) -> None:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running(engine="fast") as api:
        await api.route(url)
        async with client_of(api) as client:
            for _ in range(2):
                assert (await client.ask())[0].startswith(b"HTTP/1.1 200 ")
            monkeypatch.setattr("stoa_proxy.http.framing.MAX_HEAD", len(GET))
            made = len(exchanges_made)
            assert (await client.ask())[0].startswith(b"HTTP/1.1 200 ")
            assert len(exchanges_made) == made, "the shortest way is taken"
            longer = GET.replace(b"/a/x", b"/a/xy")
            assert (await client.ask(longer))[0].startswith(b"HTTP/1.1 400 ")


async def test_traced_requests_take_the_shortest_way_and_say_what_others_say(
    exchanges_made: list[Exchange],
) -> None:
    upstream = Upstream()
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    # Never sent: the gateway has nobody to send to for an hour.
    config = TracingConfig("http://127.0.0.1:9/v1/traces", delay=3600.0, max_batch=10_000)
    headers = b"", b"traceparent: 00-%b-%b-00\r\n" % (trace.encode(), span.encode())
    sampled = headers[1].replace(b"-00\r\n", b"-01\r\ntracestate: a=1\r\n")
    async with serving(upstream.talk) as url, running(engine="fast", tracing=config) as api:
        await api.route(url)
        tracing = api.gateway.pipeline.tracing
        assert tracing is not None
        async with client_of(api) as client:
            for extra in (*headers, sampled):
                data = GET.replace(b"Accept", extra + b"Accept")
                await client.ask(data)  # the first one of its kind may go any way
                made = len(exchanges_made)
                await client.ask(data)
                assert len(exchanges_made) == made
                slow, quick = (drop_trace(head) for head in upstream.heads[-2:])
                assert slow == quick
            spans = tracing.take(100)
            assert [one.trace_id == trace for one in spans] == [False] * 4 + [True] * 4
            assert (
                b"traceparent: 00-%b-%b-00\r\n" % (trace.encode(), span.encode())
                in upstream.heads[3]
            )
            assert b"tracestate: a=1\r\n" in upstream.heads[5]
            client_id = spans[-2].span_id
            told = f"traceparent: 00-{trace}-{client_id}-01\r\n".encode()
            assert told in upstream.heads[5]


def drop_trace(head: bytes) -> set[bytes]:
    """The lines of a head but for its `traceparent`, whose place is not the same."""
    return {line for line in head.split(b"\r\n") if not line.startswith(b"traceparent")}


async def test_equal_paths_go_where_the_headers_of_each_request_say(
    exchanges_made: list[Exchange],
) -> None:
    upstream = Upstream()
    async with serving(upstream.talk) as url, running(engine="fast") as api:
        await api.route(url + "/plain")
        blue = route_body(url + "/blue", id="r2", headers={"X-Env": ["blue"]})
        await api.put("apis", blue)
        asked = ["blue", "green", "", "blue", "green", "", "Blue", "blue, blue", "blue"]
        async with client_of(api) as client:
            for env in asked:
                line = f"X-Env: {env}\r\n" if env else ""
                await client.ask(f"GET /a/x HTTP/1.1\r\nHost: h.test\r\n{line}\r\n".encode())
            await api.admin("DELETE", "/admin/apis/r2")
            await client.ask(b"GET /a/x HTTP/1.1\r\nHost: h.test\r\nX-Env: blue\r\n\r\n")
    served = [head.split(b" ")[1].split(b"/")[1].decode() for head in upstream.heads]
    expected = ["blue" if env.lower() == "blue" else "plain" for env in asked]
    assert served == [*expected, "plain"]
    # All but the first one, for which there was no kept connection.
    assert len(exchanges_made) == 1
