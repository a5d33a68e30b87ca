"""Snapshots of errors: what they say, what they never say, whose they are, and how long."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core import snapshots as snapshots_module
from stoa_proxy.core.policy import (
    AsyncPolicy,
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    Services,
)
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.snapshots import EACH_SECOND, Snapshot, Snapshots
from stoa_proxy.policies import POLICIES, PolicyRegistry
from stoa_proxy.snapshot_file import FILE_NAME

from tests.proxy.conftest import Api, FakeClock, Upstream, current_engine, policy_body, running
from tests.proxy.tokens.issuer import ISSUER, make_token

Start = Callable[..., Awaitable[Upstream]]
SECRET = "hunter2-which-nobody-may-read"


async def snapshots(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.admin("GET", f"/admin/snapshots{query}")
    assert answer.status == 200, await answer.text()
    return list((await answer.json())["snapshots"])


@pytest.fixture
async def broken(start_upstream: Start) -> Upstream:
    """A backend whose every answer is 503 with a header of its own."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        headers = {"Set-Cookie": f"session={SECRET}", "X-Reason": "overload"}
        return web.Response(status=503, headers=headers, body=SECRET.encode())

    return await start_upstream(answer)


async def test_an_error_of_a_backend_is_told_from_the_head_to_the_answer(
    api: Api, broken: Upstream, clock: FakeClock
) -> None:
    await api.route(f"{broken.url}/base?k={SECRET}", "/a", plans=[{"name": "gold"}])
    await api.policy("api_key", {"name": "X-Key"})
    await api.policy("rate_limit", {"requests": 9, "window": "1m"})
    await api.consumer("k1", "c1", [{"api_id": "r1", "plan": "gold"}])
    headers = {"X-Key": "k1", "User-Agent": "curl/8"}
    sent = await api.send("POST", f"/a/orders?q={SECRET}", headers, data=SECRET.encode())
    assert sent.status == 503
    (found,) = await snapshots(api)
    assert found["timestamp"].startswith("2026-06-01T00:00:00")
    assert (found["tenant_id"], found["api_id"], found["route_id"]) == ("acme", "r1", "r1")
    assert (found["method"], found["path"], found["query"]) == ("POST", "/a/orders", "q=[redacted]")
    assert (found["status_code"], found["error_category"]) == (503, "backend")
    assert found["consumer_id"] == "c1"
    assert ["User-Agent", "curl/8"] in found["request_headers"]
    assert ["X-Key", "[redacted]"] in found["request_headers"]
    assert ["X-Reason", "overload"] in found["response_headers"]
    assert ["Set-Cookie", "[redacted]"] in found["response_headers"]
    assert [(one["type"], one["verdict"]) for one in found["policies"]] == [
        ("api_key", "passed"), ("access", "passed"), ("rate_limit", "passed"),
    ]  # fmt: skip
    assert all(one["duration_us"] is not None for one in found["policies"])
    (call,) = found["calls"]
    assert (call["upstream"], call["status"]) == (f"{broken.url}/base/orders", 503)
    text = json.dumps(found)
    assert SECRET not in text
    assert "k1" not in text


async def test_nothing_is_kept_of_what_is_below_500(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    assert (await api.get("/a")).status == 401
    assert (await api.get("/nowhere")).status == 404
    assert await snapshots(api) == []


async def test_each_attempt_is_told(start_upstream: Start, clock: FakeClock) -> None:
    statuses = [502, 503, 504]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        clock.advance(0.25)
        return web.Response(status=statuses.pop(0))

    async def pause(seconds: float) -> None:
        clock.advance(seconds)
        await asyncio.sleep(0)

    upstream = await start_upstream(answer)
    async with running(clock=clock, pause=pause, jitter=lambda: 1.0) as api:
        await api.route(upstream.url)
        await api.policy("retry", {"attempts": 3, "on": ["5xx"], "backoff": "1s"})
        assert (await api.get("/a")).status == 504
        (found,) = await snapshots(api)
    assert [one["status"] for one in found["calls"]] == [502, 503, 504]
    assert [one["duration_ms"] for one in found["calls"]] == [250, 250, 250]


async def test_a_backend_that_does_not_respond(api: Api, closed_url: str) -> None:
    await api.route(closed_url)
    assert (await api.get("/a")).status == 502
    (found,) = await snapshots(api)
    assert (found["error_category"], found["failure"]) == ("backend_failed", "unreachable")
    assert [one["failure"] for one in found["calls"]] == ["unreachable"]
    assert ["Content-Type", "application/problem+json"] in found["response_headers"]


async def test_an_open_circuit_is_named(api: Api, broken: Upstream) -> None:
    await api.route(broken.url)
    await api.policy("circuit_breaker", {"failures": 1, "window": "1m", "reset": "1m"})
    assert (await api.get("/a")).status == 503
    assert (await api.get("/a")).status == 503
    last, first = await snapshots(api)
    assert (first["failure"], last["failure"]) == (None, "circuit-open")
    for found, verdict in ((first, "passed"), (last, "unavailable")):
        (policy,) = found["policies"]
        assert (policy["type"], policy["verdict"]) == ("circuit_breaker", verdict)
        assert policy["duration_us"] is not None
    assert last["calls"] == []


async def test_a_policy_that_refuses_is_named_and_those_behind_it_are_not_reached(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("ip_filter", {"allow": ["127.0.0.0/8"]})
    await api.policy("mock", {"status": 503})
    await api.policy("request_size", {"max": "1KiB"})
    assert (await api.get("/a")).status == 503
    (found,) = await snapshots(api)
    assert found["error_category"] == "policy"
    verdicts = {one["type"]: one["verdict"] for one in found["policies"]}
    assert verdicts == {"ip_filter": "passed", "request_size": "passed", "mock": "refused"}


async def test_a_policy_that_waited_tells_for_how_long(
    api: Api, upstream: Upstream, closed_url: str, clock: FakeClock
) -> None:
    await api.route(upstream.url)
    await api.policy("jwt", {"issuer": ISSUER, "jwksUri": f"{closed_url}/keys"})
    token = make_token(clock)
    assert (await api.get("/a", {"Authorization": f"Bearer {token}"})).status == 503
    (found,) = await snapshots(api)
    (policy,) = (one for one in found["policies"] if one["type"] == "jwt")
    assert policy["verdict"] == "refused"
    assert policy["waited_ms"] is not None
    assert token not in json.dumps(found)


@dataclass(frozen=True, slots=True)
class Slow(AsyncPolicy):
    """Takes some microseconds, and waits before that where it is told to, by a fake clock."""

    clock: FakeClock
    micros: float
    waits: float

    def is_prepared(self, context: PolicyContext) -> bool:
        return self.waits == 0

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        self.clock.advance(self.waits / 1e6)
        return None

    def request_filter(self, context: PolicyContext) -> Respond | None:
        self.clock.advance(self.micros / 1e6)
        return Respond(599) if self.micros == 3 else None


@pytest.mark.parametrize("waits", [0, 5000])
async def test_each_policy_tells_how_long_it_took(
    waits: int, upstream: Upstream, clock: FakeClock
) -> None:
    def parse(policy_id: str, config: Mapping[str, Any]) -> Policy:
        return Slow(clock, config["micros"], config["waits"])

    slow = PolicyType("slow", Phase.AUTHORIZATION, parse, "", is_shared=False)
    registry = PolicyRegistry([*POLICIES.types, slow])
    async with running(clock=clock, policy_types=registry) as api:
        await api.route(upstream.url)
        for number, (micros, wait) in enumerate([(250, waits), (40, 0), (3, 0), (9, waits)]):
            config = {"micros": micros, "waits": wait}
            body = policy_body(f"p{number}", "r1", "slow", config, 100)
            await api.put("policies", {**body, "name": f"slow-{number}"})
        assert (await api.get("/a")).status == 599
        (found,) = await snapshots(api)
    assert [
        (one["name"], one["verdict"], one["duration_us"], one["waited_ms"])
        for one in found["policies"]
    ] == [
        ("slow-0", "passed", 250 + waits, waits / 1000 or None),
        ("slow-1", "passed", 40, None),
        ("slow-2", "refused", 3, None),
        ("slow-3", "not reached", None, None),
    ]


async def test_policies_that_a_like_request_had_passed_are_not_timed_anew(
    api: Api, start_upstream: Start
) -> None:
    statuses = [200, 200, 200, 503]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=statuses.pop(0))

    upstream = await start_upstream(answer)
    await api.route(upstream.url, "/a", plans=[{"name": "gold"}])
    await api.policy("api_key", {"name": "X-Key"})
    await api.consumer("k1", "c1", [{"api_id": "r1", "plan": "gold"}])
    async with aiohttp.ClientSession() as session:  # with a connection that was not administered by
        client = Api(api.gateway, session)
        for status in (200, 200, 200, 503):
            assert (await client.get("/a", {"X-Key": "k1"})).status == status
    (found,) = await snapshots(api)
    assert [(one["type"], one["verdict"]) for one in found["policies"]] == [
        ("api_key", "passed"), ("access", "passed"),
    ]  # fmt: skip
    was_asked = current_engine() == "aiohttp"
    assert [one["duration_us"] is not None for one in found["policies"]] == [was_asked] * 2


async def test_an_inactive_api_has_its_tenant(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url, activated=False)
    assert (await api.get("/a")).status == 503
    (found,) = await snapshots(api)
    assert (found["tenant_id"], found["error_category"]) == ("acme", "gateway")


async def test_tenants_see_their_own(broken: Upstream) -> None:
    async with running() as api:
        await api.route(broken.url, "/a")
        await api.route(broken.url, "/b", id="r2", tenant_id="beta")
        await api.route(broken.url, "/c", id="r3")
        for path in ("/a", "/b", "/c"):
            assert (await api.get(path)).status == 503
        found = await snapshots(api, "?tenant=acme")
        assert [one["api_id"] for one in found] == ["r3", "r1"]
        assert [one["tenant_id"] for one in await snapshots(api, "?tenant=beta")] == ["beta"]
        assert [one["api_id"] for one in await snapshots(api, "?api=r3")] == ["r3"]
        assert await snapshots(api, "?tenant=gamma") == []
        assert len(await snapshots(api)) == 3
        assert await (await api.admin("DELETE", "/admin/snapshots?tenant=acme")).json() == {
            "cleared": 2
        }
        assert [one["tenant_id"] for one in await snapshots(api)] == ["beta"]


async def test_a_gateway_of_one_tenant_shows_no_other(broken: Upstream) -> None:
    async with running(tenant_id="acme") as api:
        await api.route(broken.url)
        assert (await api.get("/a")).status == 503
        assert len(await snapshots(api)) == 1
        assert (await api.admin("GET", "/admin/snapshots?tenant=beta")).status == 404


async def test_pages_and_single_ones(api: Api, broken: Upstream) -> None:
    await api.route(broken.url)
    for number in range(5):
        assert (await api.get(f"/a/{number}")).status == 503
    answer = await api.admin("GET", "/admin/snapshots?limit=2&offset=1")
    page = await answer.json()
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    assert len(page["snapshots"]) == 2
    one = page["snapshots"][0]
    older = await snapshots(api, f"?before={one['request_id']}&limit=1")
    assert older == page["snapshots"][1:]
    assert [found["path"] for found in await snapshots(api)] == [f"/a/{n}" for n in (4, 3, 2, 1, 0)]
    read = await api.admin("GET", f"/admin/snapshots/{one['request_id']}")
    assert await read.json() == one
    missing = await api.admin("GET", "/admin/snapshots/none")
    assert missing.status == 404
    assert await missing.json() == {"error": "snapshot not found", "request_id": "none"}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "offset=-1", "tenants=a", "api=a&api=b"]
)
async def test_what_asks_nothing_is_refused(query: str, api: Api) -> None:
    answer = await api.admin("GET", f"/admin/snapshots?{query}")
    assert answer.status == 400
    assert (await answer.json())["title"] == "Snapshot query refused"


async def test_methods_and_the_token(api: Api) -> None:
    assert (await api.get("/admin/snapshots")).status == 401
    assert (await api.admin("POST", "/admin/snapshots")).status == 405
    assert (await api.admin("DELETE", "/admin/snapshots/x")).status == 405
    assert (await api.admin("GET", "/admin/snapshots/a/b")).status == 404


async def test_they_can_be_switched_off(broken: Upstream) -> None:
    async with running(snapshots=False) as api:
        await api.route(broken.url)
        assert (await api.get("/a")).status == 503
        assert (await api.admin("GET", "/admin/snapshots")).status == 501


async def test_an_outage_is_told_a_few_times_each_second(
    api: Api, broken: Upstream, clock: FakeClock
) -> None:
    await api.route(broken.url)
    for _ in range(EACH_SECOND + 5):
        await api.get("/a")
    assert len(await snapshots(api, "?limit=100")) == EACH_SECOND
    clock.advance(1)
    await api.get("/a")
    assert len(await snapshots(api, "?limit=100")) == EACH_SECOND + 1
    text = await (await api.get("/metrics")).text()
    assert "stoa_snapshots_skipped_total 5\n" in text
    assert f"stoa_snapshots_captured_total {EACH_SECOND + 1}\n" in text
    assert f"stoa_snapshot_store_size {EACH_SECOND + 1}\n" in text


async def test_they_outlive_the_process_in_a_private_file_until_they_are_old(
    clock: FakeClock, tmp_path: Path, broken: Upstream
) -> None:
    settings: dict[str, Any] = {"clock": clock, "state_dir": str(tmp_path / "state")}
    async with running(**settings, snapshot_hours=2) as api:
        await api.route(broken.url)
        await api.get("/a/one")
        clock.advance(3600)
        await api.get("/a/two")
    path = tmp_path / "state" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with running(**settings, snapshot_hours=2) as api:
        assert [one["path"] for one in await snapshots(api)] == ["/a/two", "/a/one"]
        clock.advance(3601)
        assert [one["path"] for one in await snapshots(api)] == ["/a/two"]
    async with running(**settings, snapshot_hours=2) as api:
        assert [one["path"] for one in await snapshots(api)] == ["/a/two"]
        await api.admin("DELETE", "/admin/snapshots")
    async with running(**settings) as api:
        assert await snapshots(api) == []


async def test_a_file_that_is_no_database_keeps_nobody_from_starting(
    tmp_path: Path, broken: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 100)
    async with running(state_dir=str(tmp_path)) as api:
        await api.route(broken.url)
        assert (await api.get("/a")).status == 503
        assert len(await snapshots(api)) == 1
    assert "saved snapshots are not used" in caplog.text
    assert "snapshots are not saved" in caplog.text


async def test_a_check_that_a_sidecar_cannot_decide_is_told(
    upstream: Upstream, closed_url: str, clock: FakeClock
) -> None:
    async with running(mode="sidecar", clock=clock) as api:
        await api.route(upstream.url)
        await api.policy("jwt", {"issuer": ISSUER, "jwksUri": f"{closed_url}/keys"})
        headers = {
            "X-Original-URI": "/a/x", "X-Original-Method": "GET", "X-Original-Host": "x",
            "X-Forwarded-For": "192.0.2.1", "Authorization": f"Bearer {make_token(clock)}",
        }  # fmt: skip
        # nginx is told 403 for what is 503.
        assert (await api.get("/authz", headers)).status == 403
        (found,) = await snapshots(api)
    assert (found["status_code"], found["path"], found["tenant_id"]) == (503, "/a/x", "acme")


def snapshot(number: int, tenant: str, api: str) -> Snapshot:
    return Snapshot(f"{number:08}", float(number), tenant, api, "{}")


TENANTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=120)


@given(TENANTS)
def test_no_tenant_loses_any_to_another(asked: list[tuple[str, str]]) -> None:
    kept = Snapshots(per_tenant=5, hours=1)
    for number, (tenant, api) in enumerate(asked):
        kept.add(snapshot(number, tenant, api))
    for tenant in "abc":
        whole = [one for one in asked if one[0] == tenant]
        assert len(kept.find(tenant, None)) == min(5, len(whole))
        for api in "xyz":
            # A rare one is not pushed out by one that fails all the time.
            count = whole.count((tenant, api))
            assert len(kept.find(tenant, api)) >= min(count, 1)
    assert len(kept) == len(list(kept)) == len(kept.find(None, None))
    assert kept.captured == len(kept) + kept.evicted


@given(TENANTS, st.integers(3, 12))
def test_all_together_are_bounded_and_the_largest_gives_way(
    asked: list[tuple[str, str]], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots_module, "MAX_SNAPSHOTS", most)
        kept = Snapshots(per_tenant=100, hours=1)
        for number, (tenant, api) in enumerate(asked):
            kept.add(snapshot(number, tenant, api))
    assert len(kept) == min(most, len(asked))
    for tenant in "abc":
        count = sum(one[0] == tenant for one in asked)
        assert len(kept.find(tenant, None)) >= min(count, most // 3)


def test_what_is_old_goes_and_the_rest_stays() -> None:
    kept = Snapshots(per_tenant=10, hours=1)
    for number in (0, 10, 3601):
        kept.add(snapshot(number, "a", "x"))
    kept.expire(3605)
    assert [one.time for one in kept.find(None, None)] == [3601, 10]
    kept.expire(10_000)
    assert len(kept) == 0
