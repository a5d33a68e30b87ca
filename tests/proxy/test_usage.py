"""What callers used is counted once, whole, and kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import stoa_proxy.core.api_series as series_module
import stoa_proxy.core.usage as usage_module
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.model import Consumer
from stoa_proxy.core.usage import OTHERS, UsageCounters
from stoa_proxy.core.usage_figures import Usage, UsageKey
from stoa_proxy.foundation.metric_readings import BUCKETS

from tests.proxy.conftest import Api, FakeClock, Upstream, running

Start = Callable[..., Awaitable[Upstream]]
FIGURES = ("requests", "errors", "refused", "received_bytes", "sent_bytes")
PLAN = [{"name": "gold", "per_minute": 100000}]


async def usage_of(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.admin("GET", f"/admin/usage{query}")
    assert answer.status == 200, await answer.text()
    document = await answer.json()
    assert document["is_whole"] is True
    return list(document["usage"])


def figures(row: dict[str, Any]) -> tuple[int, ...]:
    return tuple(row[name] for name in FIGURES)


async def test_each_request_counts_once_for_its_caller(
    clock: FakeClock, tmp_path: Path, start_upstream: Start
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        status = 502 if request.path == "/bad" else 200
        return web.Response(status=status, body=b"0123456789")

    upstream = await start_upstream(answer)
    async with running(clock=clock, state_dir=str(tmp_path)) as api:
        await api.route(upstream.url, plans=PLAN)
        await api.policy("api_key", {})
        await api.consumer("k1", "c1", [{"api_id": "r1", "plan": "gold"}])
        key = {"X-API-Key": "k1"}
        for _ in range(3):
            assert (await api.get("/a/x", key)).status == 200
        assert (await api.send("POST", "/a/x", key, data=b"abcd")).status == 200
        assert (await api.get("/a/bad", key)).status == 502
        refused = await api.get("/a/x")
        assert refused.status == 401
        assert (await api.get("/nowhere")).status == 404
        rows = await usage_of(api)
        assert [(row["tenant_id"], row["api_id"], row["application_id"]) for row in rows] == [
            ("acme", "r1", ""), ("acme", "r1", "c1"),
        ]  # fmt: skip
        assert figures(rows[0]) == (1, 0, 1, 0, int(refused.headers["Content-Length"]))
        assert figures(rows[1]) == (5, 1, 0, 4, 50)
        assert rows[1]["seconds"] > 0
        assert rows[0]["hour"] == "2026-06-01T00:00:00Z"
        metrics = await (await api.admin("GET", "/metrics")).text()
        assert (
            'stoa_api_requests_total{tenant="acme",api="r1",deployment_mode="proxy"} 6' in metrics
        )
        assert 'stoa_api_errors_total{tenant="acme",api="r1",deployment_mode="proxy"} 1' in metrics


async def test_figures_by_api_are_for_operators(upstream: Upstream) -> None:
    async with running() as api:
        await api.route(upstream.url)
        await api.get("/a/x")
        assert "stoa_api_" not in await (await api.get("/metrics")).text()
        assert (await api.get("/metrics", {"Authorization": "Bearer wrong"})).status == 401


async def test_hours_add_up_over_restarts(
    clock: FakeClock, tmp_path: Path, upstream: Upstream
) -> None:
    for start in range(3):
        async with running(clock=clock, state_dir=str(tmp_path)) as api:
            if not start:
                await api.route(upstream.url)
            for _ in range(2):
                assert (await api.get("/a/x")).status == 200
        if start:
            clock.advance(3600)
    async with running(clock=clock, state_dir=str(tmp_path)) as api:
        rows = await usage_of(api)
        assert [(row["hour"][11:13], row["requests"]) for row in rows] == [("00", 4), ("01", 2)]
        assert [row["requests"] for row in await usage_of(api, "?from=2026-06-01T01:10:00Z")] == [2]
        assert await usage_of(api, "?tenant=rival") == []
        assert await usage_of(api, "?api=r2") == await usage_of(api, "?application=c1") == []
        (whole,) = await usage_of(api, "?by=total&tenant=acme&api=r1&application=")
        assert (whole["api_id"], whole["requests"]) == ("r1", 6)
        assert whole["hour"] == "2026-05-31T02:00:00Z"  # the first of those that are added up
        assert whole["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))
        assert await usage_of(api, "?by=hour") == rows
        assert await usage_of(api, "?from=2026-06-01T00:00:00Z&to=2026-06-01T00:00:01Z") == rows[:1]
    assert (tmp_path / "gateway-usage.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "query",
    [
        "?from=yesterday",
        "?from=2026-06-02T00:00:00Z",
        "?sort=up",
        "?to=2026&to=2027",
        "?from=",
        "?from=0001-01-01T00:00:00%2B23:00",
        "?by=week",
        "?tenant=acme&tenant=rival",
    ],
)
async def test_a_query_that_asks_nothing_is_refused(tmp_path: Path, query: str) -> None:
    async with running(clock=FakeClock(), state_dir=str(tmp_path)) as api:
        assert (await api.admin("GET", f"/admin/usage{query}")).status == 400


async def test_usage_is_behind_the_token_and_within_the_tenant(tmp_path: Path) -> None:
    async with running(state_dir=str(tmp_path), tenant_id="acme") as api:
        assert (await api.get("/admin/usage")).status == 401
        assert (await api.admin("GET", "/admin/usage?tenant=rival")).status == 404
        assert (await api.admin("POST", "/admin/usage", {})).status == 405
    async with running() as api:
        assert (await api.admin("GET", "/admin/usage")).status == 501


async def test_what_cannot_be_kept_is_not_lost(
    clock: FakeClock, tmp_path: Path, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "elsewhere"
    secret.write_bytes(b"not ours")
    path = tmp_path / "gateway-usage.db"
    path.symlink_to(secret)
    async with running(clock=clock, state_dir=str(tmp_path)) as api:
        await api.route(upstream.url)
        assert (await api.get("/a/x")).status == 200
        assert (await api.admin("GET", "/admin/usage")).status == 503
        assert "usage is not saved" in caplog.text
        assert secret.read_bytes() == b"not ours"
        path.unlink()
        assert (await api.get("/a/x")).status == 200
        assert [row["requests"] for row in await usage_of(api)] == [2]
        metrics = await (await api.admin("GET", "/metrics")).text()
        assert (
            'stoa_api_requests_total{tenant="acme",api="r1",deployment_mode="proxy"} 2' in metrics
        )


async def test_figures_of_a_quarter_ago_go(
    clock: FakeClock, tmp_path: Path, upstream: Upstream
) -> None:
    async with running(clock=clock, state_dir=str(tmp_path)) as api:
        await api.route(upstream.url)
        await api.get("/a/x")
        await usage_of(api)
        clock.advance(93 * 24 * 3600)
        await api.get("/a/x")
        await usage_of(api)
    database = sqlite3.connect(os.fspath(tmp_path / "gateway-usage.db"))
    assert database.execute("select count(*) from usage").fetchall() == [(1,)]
    database.close()


def series(metrics: str, name: str) -> dict[str, float]:
    """The values of one name, by their labels but for the mode's."""
    lines = [line for line in metrics.splitlines() if line.startswith(f"{name}{{")]
    values = (line.removeprefix(name).rsplit(" ", 1) for line in lines)
    return {labels.replace(',deployment_mode="proxy"', ""): float(one) for labels, one in values}


async def test_durations_by_api_count_each_request_that_was_answered(
    clock: FakeClock, upstream: Upstream
) -> None:
    name = "stoa_api_request_duration_seconds"
    async with running(clock=clock) as api:
        await api.route(upstream.url, plans=PLAN)
        await api.policy("api_key", {})
        await api.consumer("k1", "c1", [{"api_id": "r1", "plan": "gold"}])
        for _ in range(3):
            assert (await api.get("/a/x", {"X-API-Key": "k1"})).status == 200
        assert (await api.get("/a/x")).status == 401
        assert (await api.get("/nowhere")).status == 404
        metrics = await (await api.admin("GET", "/metrics")).text()
        mine = '{tenant="acme",api="r1"}'
        assert series(metrics, f"{name}_count") == {mine: 4}
        assert series(metrics, f"{name}_sum")[mine] > 0
        buckets = list(series(metrics, f"{name}_bucket").values())
        assert len(buckets) == len(BUCKETS) + 1
        assert buckets == sorted(buckets)
        assert buckets[-1] == 4
        # An API that has left the table has no series.
        await api.admin("DELETE", "/admin/apis/r1")
        metrics = await (await api.admin("GET", "/metrics")).text()
        assert series(metrics, f"{name}_count") == series(metrics, "stoa_api_requests_total") == {}


def test_apis_beyond_the_series_share_one_until_others_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "_MOST", 2)
    counters, known = UsageCounters(), set("abcd")
    counters.series.is_known = known.__contains__

    def requests() -> dict[str, int]:
        return {key.api_id: one.usage.requests for key, one in counters.apis()}

    for name in "abcd":
        counters.count(_Route(name), None, 200, 0.5, 0, 0)  # type: ignore[arg-type]
        counters.observe(_Route(name), 0.5)  # type: ignore[arg-type]
    assert requests() == {"(others)": 2, "a": 1, "b": 1}
    at = BUCKETS.index(0.5)
    read = counters.histograms("m")
    shown = {labels["api"]: (one.counts[at], one.total) for labels, one in read}
    assert shown == {"(others)": (4, 2.0), "a": (2, 1.0), "b": (2, 1.0)}
    known.discard("a")
    counters.count(_Route("d"), None, 200, 0.5, 0, 0)  # type: ignore[arg-type]
    assert requests() == {"(others)": 2, "b": 1, "d": 1}


class _Route:
    def __init__(self, api_id: str) -> None:
        self.tenant_id, self.api_id = "acme", api_id


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["", "c1", "c2"]),
        st.sampled_from([200, 404, 429, 500, 503]), st.integers(0, 9), st.integers(0, 9),
        st.sampled_from(["count", "take", "lose"]),
    )
)  # fmt: skip


@given(REQUESTS)
def test_taken_and_put_back_add_up_to_what_was_counted(requests: list[Any]) -> None:
    counters, kept = UsageCounters(), dict[UsageKey, Usage]()
    for api, consumer, status, received, sent, then in requests:
        who = Consumer(consumer, "n", "acme") if consumer else None
        counters.count(_Route(api), who, status, 0.5, received, sent)  # type: ignore[arg-type]
        if then == "take":
            for key, usage in counters.take().items():
                kept.setdefault(key, Usage()).add(usage)
        elif then == "lose":
            counters.put_back(counters.take())
    for key, usage in counters.take().items():
        kept.setdefault(key, Usage()).add(usage)
    expected = {
        (api, consumer): [
            sum(1 for r in requests if r[:2] == (api, consumer)),
            sum(r[2] >= 500 for r in requests if r[:2] == (api, consumer)),
            sum(400 <= r[2] < 500 for r in requests if r[:2] == (api, consumer)),
            sum(r[3] for r in requests if r[:2] == (api, consumer)),
            sum(r[4] for r in requests if r[:2] == (api, consumer)),
        ]
        for api, consumer, *_ in requests
    }
    assert {key[1:]: list(usage.figures()[:5]) for key, usage in kept.items()} == expected
    totals = {key.api_id: one.usage.requests for key, one in counters.apis()}
    assert totals == {api: sum(r[0] == api for r in requests) for api in {r[0] for r in requests}}


def test_keys_are_bounded_and_no_request_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_module, "MAX_KEYS", 3)
    counters = UsageCounters()
    for number in range(10):
        who = Consumer(f"c{number}", "n", "acme")
        counters.count(_Route("a"), who, 200, 0.0, 0, 0)  # type: ignore[arg-type]
    taken = counters.take()
    assert sum(usage.requests for usage in taken.values()) == 10
    assert taken[UsageKey("acme", "a", OTHERS)].requests == 7
