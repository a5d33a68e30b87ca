"""`logging` on the real engine: what a line says, what it never says, and that nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.access_log_writer import AccessLogWriter
from stoa_proxy.core.access_logs import AccessLogs
from stoa_proxy.policies import POLICIES

from tests.laws import examples
from tests.proxy.conftest import Api, FakeClock, Upstream, running
from tests.proxy.raw import read_head, serving

Start = Callable[..., Awaitable[Upstream]]


class Collector:
    """A service that takes lines; `status` is what it answers, after `gate`."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.status = 200
        self.gate: asyncio.Event | None = None
        self.calls = 0
        self.came = asyncio.Event()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.calls += 1
        assert request.content_type == "application/x-ndjson"
        if self.gate is not None:
            await self.gate.wait()
        if self.status == 200:
            self.lines += [json.loads(line) for line in body.splitlines()]
            self.came.set()
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})

    async def wait(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            while len(self.lines) < count:
                self.came.clear()
                await self.came.wait()
        return self.lines


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
async def logged(
    api: Api, collector: Collector, upstream: Upstream, start_upstream: Start
) -> Callable[..., Awaitable[Api]]:
    service = await start_upstream(collector.answer)

    async def configure(**config: Any) -> Api:
        await api.route(upstream.url)
        await api.policy("logging", {"sinks": [f"{service.url}/in?key=s3cret"], **config})
        return api

    return configure


async def counts(api: Api) -> dict[str, int]:
    return dict(api.gateway.pipeline.states.of(AccessLogs).counts)


async def test_a_line_says_who_asked_for_what_and_what_became_of_it(
    logged: Any, collector: Collector, clock: FakeClock
) -> None:
    api = await logged()
    await api.policy("api_key", {})
    await api.consumer()
    headers = {"X-API-Key": "k1", "User-Agent": "a\u00e9", "Referer": "https://x.test/p?token=t"}
    assert (await api.get("/a/x?y=1", headers)).status == 200
    (line,) = await collector.wait(1)
    assert line.pop("host").startswith("127.0.0.1:")
    assert line == {
        "time": clock.now().isoformat(timespec="milliseconds"), "tenant": "acme", "api": "echo",
        "route": "r1", "client": "127.0.0.1", "consumer": "mobile", "method": "GET",
        "path": "/a/x", "query": "y=1", "status": 200, "seconds": 0.0, "fallback": None,
        "user_agent": "a\u00e9", "referer": "https://x.test/p",
    }  # fmt: skip


async def test_refusals_of_policies_failures_and_mocks_have_a_line_each(
    logged: Any, collector: Collector, closed_url: str
) -> None:
    api = await logged()
    await api.policy("rate_limit", {"requests": 2, "window": "1h"})
    assert (await api.get("/a/x")).status == 200
    await api.route(closed_url)
    assert (await api.get("/a/x")).status == 502
    assert (await api.get("/a/x")).status == 429
    await api.policy("ip_filter", {"deny": ["127.0.0.0/8"]})
    assert (await api.get("/a/x")).status == 403
    lines = await collector.wait(4)
    assert [line["status"] for line in lines] == [200, 502, 429, 403]


async def test_a_response_that_breaks_off_and_a_client_that_leaves_have_a_line_without_status(
    logged: Any, collector: Collector
) -> None:
    begun = asyncio.Event()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        begun.set()
        if b"/wait" in head:
            await asyncio.Event().wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    api = await logged()
    async with serving(half) as url:
        await api.route(url)
        with pytest.raises(aiohttp.ClientError):
            await api.get("/a/break")
        assert [line["status"] for line in await collector.wait(1)] == [None]
        begun.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(b"GET /a/wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(begun.wait(), 30)
        writer.transport.abort()
        assert [line["path"] for line in await collector.wait(2)] == ["/a/break", "/a/wait"]
    assert collector.lines[1]["status"] is None


async def test_credentials_in_queries_and_redacted_fields_are_not_in_a_line(
    logged: Any, collector: Collector
) -> None:
    api = await logged(redact=["Client", "email", "user_agent"])
    await api.policy("api_key", {"in": "query", "name": "k"})
    await api.consumer("s3cr3t")
    query = "k=s3cr3t&a=1&Email=x%40y&access_token=s3cr3t&sig=s3cr3t&%6bey=s3cr3t&b"
    assert (await api.get(f"/a/x?{query}")).status == 200
    (line,) = await collector.wait(1)
    assert "s3cr3t" not in json.dumps(line)
    assert "client" not in line
    assert "user_agent" not in line
    gone = "[redacted]"
    assert line["query"] == (
        f"k={gone}&a=1&Email={gone}&access_token={gone}&sig={gone}&%6bey={gone}&b"
    )


async def test_a_client_cannot_write_a_second_line(logged: Any, collector: Collector) -> None:
    api = await logged()
    nasty = 'a"}\\n{"status":1'
    assert (await api.get("/a/x?q=%0a%0d", {"User-Agent": nasty})).status == 200
    assert (await api.get("/a/" + "x" * 5000)).status == 200
    first, second = await collector.wait(2)
    assert first["user_agent"] == nasty
    assert len(second["path"]) == 2048


async def test_a_sink_that_hangs_keeps_no_request_waiting_and_what_is_too_much_is_counted(
    logged: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_proxy.core.access_logs._MAX_LINES", 3)
    collector.gate = asyncio.Event()
    api = await logged()
    assert (await api.get("/a/0")).status == 200
    async with asyncio.timeout(30):
        while not collector.calls:
            await asyncio.sleep(0)
    for number in range(1, 9):
        assert (await api.get(f"/a/{number}")).status == 200
    assert (await counts(api))["dropped"] == 5
    collector.gate.set()
    lines = await collector.wait(4)
    assert [line["path"] for line in lines] == ["/a/0", "/a/1", "/a/2", "/a/3"]
    metrics = await (await api.get("/metrics")).text()
    assert 'stoa_access_log_lines_total{result="dropped"} 5' in metrics


@pytest.mark.parametrize(("status", "calls"), [(503, 3), (429, 3), (400, 1), (302, 1)])
async def test_a_sink_that_fails_is_tried_again_where_that_helps_and_said_without_its_url(
    logged: Any,
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    status: int,
    calls: int,
) -> None:
    collector.status = status
    api = await logged()
    assert (await api.get("/a/x")).status == 200
    async with asyncio.timeout(30):
        while not (await counts(api))["lost"]:
            await asyncio.sleep(0)
    assert collector.calls == calls
    assert f"it responds with {status}" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("sink", ["stdout", "stderr"])
async def test_lines_go_to_a_stream_of_the_process_also_those_of_the_end(
    clock: FakeClock, upstream: Upstream, capfd: pytest.CaptureFixture[str], sink: str
) -> None:
    async with running(clock=clock) as api:
        await api.route(upstream.url)
        await api.policy("logging", {"sinks": [sink]} if sink == "stdout" else {})
        for number in range(3):
            assert (await api.get(f"/a/{number}")).status == 200
    written = getattr(capfd.readouterr(), "out" if sink == "stdout" else "err")
    lines = [json.loads(line) for line in written.splitlines() if line.startswith('{"time"')]
    assert [line["path"] for line in lines] == ["/a/0", "/a/1", "/a/2"]


async def test_a_stream_that_hangs_keeps_nothing_waiting_not_even_the_end(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_proxy.access_log_writer._STOP_SECONDS", 0.05)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 65536)
    os.set_blocking(writing, True)
    with os.fdopen(reading, "rb"), os.fdopen(writing, "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        async with running() as api:
            for number in range(40):  # more tenants than the pool of the event loop has threads
                names = {"id": f"r{number}", "tenant_id": f"t{number}"}
                await api.route(upstream.url, f"/a{number}", **names)
                await api.policy("logging", {"sinks": ["stdout"]}, f"r{number}")
                assert (await api.get(f"/a{number}/x")).status == 200
            async with asyncio.timeout(30):
                while api.gateway.pipeline.states.of(AccessLogs).waiting():
                    await asyncio.sleep(0.01)
                assert await asyncio.to_thread(int) == 0
        assert (await counts(api))["lost"] == 40
        # Nobody at the end of the process waits for it. It ends as soon as somebody reads.
        hanging = [thread for thread in threading.enumerate() if thread.name == "output"]
        assert [thread.daemon for thread in hanging] == [True]
        while hanging[0].is_alive():
            os.set_blocking(reading, False)
            with contextlib.suppress(BlockingIOError):
                os.read(reading, 65536)
            await asyncio.sleep(0)


async def test_sinks_are_called_under_the_address_rules_of_backends(
    logged: Any, caplog: pytest.LogCaptureFixture
) -> None:
    api = await logged(sinks=["http://192.168.7.7/in"])
    assert (await api.get("/a/x")).status == 200
    async with asyncio.timeout(30):
        while not (await counts(api))["lost"]:
            await asyncio.sleep(0)
    assert "lines of an access log are lost" in caplog.text


async def test_a_share_of_the_requests_is_logged_and_every_server_error(
    logged: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch, closed_url: str
) -> None:
    draws = iter([0.1, 0.9, 0.24, 0.25, 0.3])
    monkeypatch.setattr("stoa_proxy.policies.logging.random.random", lambda: next(draws))
    api = await logged(sample=0.25)
    for number in range(5):
        assert (await api.get(f"/a/{number}")).status == 200
    await api.route(closed_url)
    assert (await api.get("/a/5")).status == 502
    lines = await collector.wait(3)
    assert [line["path"] for line in lines] == ["/a/0", "/a/2", "/a/5"]


@examples(200)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.sampled_from([1, 300])),
        max_size=60,
    )
)
def test_every_line_is_in_a_queue_taken_or_counted_as_dropped(
    steps: list[tuple[str, int, int]],
) -> None:
    logs = AccessLogs(FakeClock())
    woken: list[Any] = []
    logs.on_line = woken.append
    pushed = taken = 0
    for tenant, sink, size in steps:
        logs.push([(tenant, f"http://{sink}")], b"x" * size)
        pushed += 1
        if size == 300:
            taken += len(logs.take((tenant, f"http://{sink}")))
    assert set(logs.waiting()) <= set(woken)
    left = 0
    for place in logs.waiting():
        while lines := logs.take(place):
            left += len(lines)
    assert pushed == taken + left + logs.counts["dropped"]


class Sink:
    """Notes what is written, at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.came = asyncio.Event()

    async def write(self, stream: str, content: bytes) -> None:
        self.sizes.append(content.count(b"\n"))
        self.came.set()

    def stop(self) -> None:
        """Do nothing."""


async def test_lines_are_written_by_the_batch_and_the_rest_at_the_end() -> None:
    clock, sink = FakeClock(), Sink()
    logs = AccessLogs(clock)

    async def pause(_: float) -> None:
        await asyncio.Event().wait()

    def no_services(_: str) -> Any:
        raise AssertionError("only a stream is written to")

    writer = AccessLogWriter(logs, no_services, clock, pause=pause, make_thread=lambda: sink)  # type: ignore[arg-type, return-value]
    writer.start()
    for size in (500, 700):
        sink.came.clear()
        for _ in range(size + 1):
            logs.push([("acme", "stderr")], b"x\n")
        await asyncio.wait_for(sink.came.wait(), 30)
    for _ in range(50):
        await asyncio.sleep(0)
    assert sink.sizes[:2] == [500, 500]
    assert sum(sink.sizes) < 1202, "what is no batch waits for more"
    await writer.stop()
    assert sum(sink.sizes) == 1202
    assert logs.counts == {"written": 1202, "dropped": 0, "lost": 0}
    assert not logs.waiting()


def test_sinks_of_a_tenant_are_bounded_and_its_streams_have_room() -> None:
    logs = AccessLogs(FakeClock())
    logs.push([("a", f"http://{number}") for number in range(40)], b"x")
    assert logs.counts["dropped"] == 8
    logs.push([("a", "stdout")], b"x")
    logs.push([("b", "http://1")], b"x")
    assert logs.counts["dropped"] == 8


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sinks": ["/var/log/x"]}, "config.sinks"),
        ({"sinks": ["https://u:s3cret@x/"]}, "config.sinks"),
        ({"sinks": [f"https://{n}" for n in range(9)]}, "config.sinks"),
        ({"sample": 0}, "config.sample"),
        ({"sample": True}, "config.sample"),
        ({"payloads": "no"}, "config.payloads"),
        ({"redact": [7]}, "config.redact"),
    ],
    ids=str,
)
def test_a_config_that_cannot_work_is_refused_with_its_key(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")) as error:
        POLICIES.parse("logging", "p", config)
    assert "s3cret" not in str(error.value)


def test_a_sink_that_may_hold_a_key_is_not_written_to_disk() -> None:
    assert not POLICIES.is_public("logging", {"sinks": ["https://x/in?key=k"]})
    assert POLICIES.is_public("logging", {"sinks": ["https://x/in", "stdout"]})
