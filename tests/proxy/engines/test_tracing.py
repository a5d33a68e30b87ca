"""Spans, and the trace that requests carry through: over both engines, with a real collector."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from stoa_proxy import span_exporter
from stoa_proxy.tracing_config import TracingConfig

from tests.proxy.conftest import Api, Upstream, running
from tests.proxy.raw import Talk, serving

Start = Callable[..., Awaitable[Upstream]]
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
SERVER, CLIENT = 2, 3


@dataclass
class Collector:
    """What a collector got; `statuses` are its next answers, 200 behind them."""

    url: str = ""
    bodies: list[Any] = field(default_factory=list)
    heads: list[Any] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.json()
        self.heads.append((request.path, dict(request.headers)))
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        self.bodies.append(body)
        return web.json_response(self.answer)

    def spans(self, kind: int | None = None) -> list[dict[str, Any]]:
        """All spans, with their attributes as a dictionary."""
        found = []
        for body in self.bodies:
            for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]:
                named = {
                    one["key"]: next(iter(one["value"].values())) for one in span["attributes"]
                }
                found.append({**span, "attributes": named})
        return [span for span in found if kind in (None, span["kind"])]


async def no_pause(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
async def collector(start_upstream: Start) -> Collector:
    collector = Collector()
    collector.url = (await start_upstream(collector.take)).url
    return collector


@asynccontextmanager
async def traced(collector: Collector, **fields: Any) -> AsyncIterator[Api]:
    """A gateway that sends its spans when it stops."""
    names = {"mode", "authz_callers", "upstream_url", "pause"}
    settings = {name: fields.pop(name) for name in names & fields.keys()}
    values: dict[str, Any] = {"delay": 3600.0, **fields}
    config = TracingConfig(f"{collector.url}/v1/traces", **values)
    async with running(tracing=config, **{"pause": no_pause, **settings}) as api:
        yield api


async def test_a_request_is_a_server_span_with_a_client_span_below(
    collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector) as api:
        await api.route(f"{upstream.url}/base?token=hidden", "/a")
        assert (await api.get("/a/orders?key=secret")).status == 200
    (server,), (client,) = collector.spans(SERVER), collector.spans(CLIENT)
    assert (server["name"], client["name"]) == ("GET /a", "GET")
    assert server["traceId"] == client["traceId"]
    assert "parentSpanId" not in server
    assert client["parentSpanId"] == server["spanId"]
    found = server["attributes"]
    assert found.pop("client.address") == "127.0.0.1"
    assert found == {
        "stoa.deployment_mode": "proxy", "http.request.method": "GET", "url.scheme": "http",
        "url.path": "/a/orders", "network.protocol.version": "1.1", "server.address": "127.0.0.1",
        "http.response.status_code": "200", "http.route": "/a", "stoa.route_id": "r1",
        "stoa.api_id": "r1", "stoa.tenant_id": "acme",
    }  # fmt: skip
    assert client["attributes"] == {
        "stoa.deployment_mode": "proxy", "http.request.method": "GET",
        "url.full": f"{upstream.url}/base/orders", "server.address": "127.0.0.1",
        "server.port": str(upstream.port), "network.protocol.version": "1.1",
        "http.response.status_code": "200",
    }  # fmt: skip
    assert upstream.seen[0].all("traceparent") == [f"00-{server['traceId']}-{client['spanId']}-01"]
    times = [int(span[name]) for span in (server, client) for name in KEYS]
    assert times[0] <= times[2] <= times[3] <= times[1]
    assert all(span["status"] == {} for span in (server, client))
    text = json.dumps(collector.bodies)
    assert "hidden" not in text
    assert "secret" not in text


KEYS = ("startTimeUnixNano", "endTimeUnixNano")


async def test_a_batch_says_whose_spans_they_are(collector: Collector, upstream: Upstream) -> None:
    fields: dict[str, Any] = {
        "headers": (("X-Collector-Key", "k1"),),
        "service": "edge",
        "resource": (("team", "blue"),),
    }
    async with traced(collector, **fields) as api:
        await api.route(upstream.url)
        await api.get("/a")
    (path, head), (body,) = collector.heads[0], collector.bodies
    assert (path, head["X-Collector-Key"]) == ("/v1/traces", "k1")
    assert head["Content-Type"] == "application/json"
    shown = body["resourceSpans"][0]["resource"]["attributes"]
    named = {one["key"]: one["value"]["stringValue"] for one in shown}
    assert named.pop("service.version")
    assert named == {"service.name": "edge", "stoa.deployment_mode": "proxy", "team": "blue"}


@pytest.mark.parametrize("sent", [SAMPLED, f"cc-{TRACE}-{SPAN}-01-what-comes"])
async def test_the_trace_of_a_caller_goes_on(
    sent: str, collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector, ratio=0.0) as api:
        await api.route(upstream.url)
        headers = {"traceparent": sent, "tracestate": "a=1, b=2"}
        assert (await api.get("/a", headers)).status == 200
    (server,), (client,) = collector.spans(SERVER), collector.spans(CLIENT)
    assert (server["traceId"], server["parentSpanId"]) == (TRACE, SPAN)
    assert server["traceState"] == "a=1,b=2"
    assert upstream.seen[0].all("traceparent") == [f"00-{TRACE}-{client['spanId']}-01"]
    assert upstream.seen[0].all("tracestate") == ["a=1,b=2"]


@pytest.mark.parametrize(
    "sent",
    [
        "", "garbage", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g", f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)  # fmt: skip
async def test_what_is_no_traceparent_begins_a_new_trace(
    sent: str, collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector) as api:
        await api.route(upstream.url)
        headers = {"traceparent": sent, "tracestate": "a=1"}
        assert (await api.get("/a", headers)).status == 200
    (server,) = collector.spans(SERVER)
    assert "parentSpanId" not in server
    assert server["traceId"] != TRACE
    (value,) = upstream.seen[0].all("traceparent")
    assert value.startswith(f"00-{server['traceId']}-")
    # It belongs to the other trace (section 3.3).
    assert upstream.seen[0].all("tracestate") == []


async def test_a_traceparent_that_comes_twice_is_none(
    collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector) as api:
        await api.route(upstream.url)
        pair = [("traceparent", SAMPLED), ("traceparent", SAMPLED)]
        assert (await api.get("/a", pair)).status == 200
    (server,) = collector.spans(SERVER)
    assert server["traceId"] != TRACE
    assert len(upstream.seen[0].all("traceparent")) == 1


async def test_an_unsampled_trace_passes_unchanged_and_a_new_one_is_not_sampled(
    collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector, ratio=0.0) as api:
        await api.route(upstream.url)
        await api.get("/a", {"traceparent": UNSAMPLED, "tracestate": "a=1"})
        await api.get("/a")
        await api.get("/a")
    assert upstream.seen[0].all("traceparent") == [UNSAMPLED]
    assert upstream.seen[0].all("tracestate") == ["a=1"]
    values = [one.all("traceparent") for one in upstream.seen[1:]]
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", value) for (value,) in values)
    assert len({value for (value,) in values}) == 2
    assert collector.heads == []


async def test_a_ratio_of_its_own_overrules_the_caller(
    collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector, ratio=0.0, is_parent_based=False) as api:
        await api.route(upstream.url)
        await api.get("/a", {"traceparent": SAMPLED})
    (value,) = upstream.seen[0].all("traceparent")
    # A flag that changes needs another span (section 3.2.2.5).
    assert re.fullmatch(rf"00-{TRACE}-(?!{SPAN})[0-9a-f]{{16}}-00", value)
    assert collector.heads == []


async def test_while_tracing_is_off_headers_pass_as_they_came(upstream: Upstream) -> None:
    async with running() as api:
        await api.route(upstream.url)
        await api.get("/a", {"traceparent": "any thing", "tracestate": "a=1, b=2"})
        await api.get("/a")
    assert upstream.seen[0].all("traceparent") == ["any thing"]
    assert upstream.seen[0].all("tracestate") == ["a=1, b=2"]
    assert upstream.seen[1].all("traceparent") == []


async def test_each_attempt_is_a_span_that_the_upstream_is_told_of(
    collector: Collector, start_upstream: Start
) -> None:
    statuses = [503, 503, 200]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=statuses.pop(0))

    upstream = await start_upstream(answer)
    async with traced(collector) as api:
        await api.route(upstream.url)
        await api.policy("retry", {"attempts": 3, "on": ["503"]})
        assert (await api.get("/a")).status == 200
    clients = collector.spans(CLIENT)
    found = [one["attributes"] for one in clients]
    assert [one["http.response.status_code"] for one in found] == ["503", "503", "200"]
    assert [one.get("http.request.resend_count") for one in found] == [None, "1", "2"]
    assert [one.get("error.type") for one in found] == ["503", "503", None]
    assert [one["status"] for one in clients] == [{"code": 2}, {"code": 2}, {}]
    told = [one.all("traceparent") for one in upstream.seen]
    assert told == [[f"00-{one['traceId']}-{one['spanId']}-01"] for one in clients]
    assert len({one["spanId"] for one in clients}) == 3


async def test_failures_and_refusals_are_spans_too(
    collector: Collector, upstream: Upstream, closed_url: str
) -> None:
    async with traced(collector) as api:
        await api.route(closed_url, "/down")
        await api.route(upstream.url, "/keyed", id="r2")
        await api.policy("api_key", {}, "r2")
        assert (await api.get("/down")).status == 502
        assert (await api.get("/keyed")).status == 401
        assert (await api.get("/nowhere/eyJhbGciOiJIUzI1NiJ9.e30.abc")).status == 404
    failed, refused, missing = collector.spans(SERVER)
    (client,) = collector.spans(CLIENT)
    assert client["attributes"]["error.type"] == "unreachable"
    assert "http.response.status_code" not in client["attributes"]
    assert failed["attributes"]["error.type"] == "502"
    assert (failed["status"], refused["status"]) == ({"code": 2}, {})
    assert (refused["name"], refused["attributes"]["stoa.route_id"]) == ("GET /keyed", "r2")
    assert (missing["name"], missing["attributes"]["http.response.status_code"]) == ("GET", "404")
    assert missing["attributes"]["url.path"] == "/nowhere/[redacted].e30.abc"


async def test_a_response_that_breaks_off_is_an_error(collector: Collector) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        writer.close()

    async with serving(talk) as url, traced(collector) as api:
        await api.route(url)
        with pytest.raises(Exception, match=r"payload|disconnect|reset"):
            await api.get("/a")
    (server,) = collector.spans(SERVER)
    assert server["attributes"]["error.type"] == "incomplete"
    assert server["status"] == {"code": 2}


async def test_many_requests_on_one_connection_are_one_trace_each(
    collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector) as api:
        await api.route(upstream.url)
        for _ in range(5):
            await api.get("/a")
            await api.get("/a", {"traceparent": SAMPLED})
    servers, clients = collector.spans(SERVER), collector.spans(CLIENT)
    assert len(servers) == len(clients) == 10
    assert len({span["spanId"] for span in (*servers, *clients)}) == 20
    assert [span["traceId"] == TRACE for span in servers] == [False, True] * 5
    told = [one.all("traceparent")[0].split("-")[2] for one in upstream.seen]
    assert told == [span["spanId"] for span in clients]


async def test_the_sampler_records_its_share(collector: Collector, upstream: Upstream) -> None:
    async with traced(collector, ratio=0.5) as api:
        await api.route(upstream.url)
        for _ in range(200):
            await api.get("/a")
    flags = [one.all("traceparent")[0][-2:] for one in upstream.seen]
    recorded = {one["traceId"] for one in collector.spans(SERVER)}
    assert recorded == {
        one.all("traceparent")[0].split("-")[1]
        for one, flag in zip(upstream.seen, flags, strict=True)
        if flag == "01"
    }
    # Outside of it once in 10^11 runs.
    assert 50 < len(recorded) < 150


async def test_a_full_queue_takes_no_more_and_counts_it(
    collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector, max_queue=4, max_batch=100) as api:
        await api.route(upstream.url)
        for _ in range(5):
            await api.get("/a")
        text = await (await api.get("/metrics")).text()
    assert 'stoa_spans_dropped_total{reason="queue"} 6\n' in text
    assert "stoa_spans_queued 4\n" in text
    assert len(collector.spans()) == 4


async def test_a_collector_that_is_busy_is_asked_again(
    collector: Collector, upstream: Upstream
) -> None:
    collector.statuses = [503, 429]
    async with traced(collector, max_batch=2) as api:
        await api.route(upstream.url)
        await api.get("/a")
        text = await metrics_with(api, "gateway_otel_spans_exported_total 2")
    assert 'stoa_spans_dropped_total{reason="export"} 0' in text
    assert len(collector.heads) == 3


@pytest.mark.parametrize("statuses", [[400], [503] * 4])
async def test_spans_that_cannot_be_sent_are_dropped_and_counted(
    statuses: list[int], collector: Collector, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    collector.statuses = list(statuses)
    async with traced(collector, max_batch=2) as api:
        await api.route(upstream.url)
        await api.get("/a")
        await metrics_with(api, 'stoa_spans_dropped_total{reason="export"} 2')
        assert len(collector.heads) == len(statuses)
        await api.get("/a")
        await metrics_with(api, "gateway_otel_spans_exported_total 2")
    assert f"spans are lost: it responds with {statuses[0]}" in caplog.text


async def test_spans_that_a_collector_refuses_are_counted(
    collector: Collector, upstream: Upstream
) -> None:
    collector.answer = {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "too old"}}
    async with traced(collector, max_batch=2) as api:
        await api.route(upstream.url)
        await api.get("/a")
        text = await metrics_with(api, "gateway_otel_spans_exported_total 1")
    assert 'stoa_spans_dropped_total{reason="export"} 1' in text


async def test_requests_do_not_wait_for_a_collector_that_hangs(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_exporter, "_STOP_SECONDS", 0.1)
    taken = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()
        await reader.read()  # until it is closed

    talk: Talk = hang
    async with serving(talk) as url:
        hanging = Collector(url)
        async with traced(hanging, max_queue=4, max_batch=2) as api:
            await api.route(upstream.url)
            assert (await api.get("/a")).status == 200
            await asyncio.wait_for(taken.wait(), 30)
            for _ in range(20):
                assert (await api.get("/a")).status == 200
            await metrics_with(api, 'stoa_spans_dropped_total{reason="queue"} 36')


async def test_a_sidecar_has_a_span_for_each_check(collector: Collector) -> None:
    async with traced(collector, mode="sidecar") as api:
        await api.route("http://127.0.0.1:9")
        assert (await api.get("/authz/a/x?key=secret")).status == 200
        original = {
            "X-Original-URI": "/a/y", "X-Original-Method": "GET", "X-Original-Host": "x.example",
                "X-Forwarded-For": "192.0.2.1",
        }  # fmt: skip
        asked = await api.get("/authz", {**original, "traceparent": SAMPLED})
        assert asked.status == 200
        body = {"method": "GET", "path": "/a/z", "headers": {}}
        document = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        await api.send("POST", "/authz", headers, data=document)
        assert (await api.get("/authz/nowhere")).status == 404
    first, second, third, missing = collector.spans(SERVER)
    assert collector.spans(CLIENT) == []
    for span in (first, second):
        assert span["attributes"]["stoa.deployment_mode"] == "sidecar"
        assert span["attributes"]["stoa.route_id"] == "r1"
        assert span["attributes"]["http.response.status_code"] == "200"
    assert first["attributes"]["url.path"] == "/authz/a/x"
    assert (second["traceId"], second["parentSpanId"]) == (TRACE, SPAN)
    assert third["attributes"]["url.path"] == "/authz"
    assert "stoa.route_id" not in missing["attributes"]


async def test_a_shadow_has_a_span_for_each_mirrored_request(collector: Collector) -> None:
    async with traced(collector, mode="shadow") as api:
        assert (await api.get("/a/x", {"traceparent": SAMPLED})).status == 204
    (span,) = collector.spans()
    assert (span["traceId"], span["name"]) == (TRACE, "GET")
    assert span["attributes"]["stoa.deployment_mode"] == "shadow"


async def test_requests_for_the_gateway_itself_have_no_spans(collector: Collector) -> None:
    async with traced(collector) as api:
        await api.get("/health")
        await api.get("/metrics")
        await api.admin("GET", "/admin/apis")
    assert collector.heads == []


async def test_try_says_which_trace_a_request_belongs_to(
    collector: Collector, upstream: Upstream
) -> None:
    async with traced(collector) as api:
        await api.route(upstream.url)
        body: dict[str, Any] = {"method": "GET", "target": "/a"}
        asked = await api.admin("POST", "/admin/trace", body)
        new = await asked.json()
        body["headers"] = [["traceparent", UNSAMPLED]]
        continued = await (await api.admin("POST", "/admin/trace", body)).json()
    assert new["trace"]["recorded"] is True
    assert new["trace"]["continued"] is False
    headers = dict(new["upstream"]["headers"])
    assert headers["traceparent"].startswith(f"00-{new['trace']['trace_id']}-")
    assert continued["trace"] == {"trace_id": TRACE, "recorded": False, "continued": True}
    (server,) = collector.spans(SERVER)
    assert server["traceId"] == new["trace"]["trace_id"]


async def metrics_with(api: Api, line: str) -> str:
    """Return the metrics once they have a line; the exporter works beside requests."""
    async with asyncio.timeout(30):
        while True:
            text = await (await api.get("/metrics")).text()
            if line in text:
                return text
            await asyncio.sleep(0.01)
