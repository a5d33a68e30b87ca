"""What callers have used of their quotas, as the admin API shows and resets it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.conftest import Api, FakeClock, Upstream, policy_body, running
from tests.proxy.workers.world import several

PLAN = [{"name": "gold", "per_minute": 100000}]
KEY = {"X-API-Key": "k1"}


async def read(api: Api, path: str) -> Any:
    answer = await api.admin("GET", path)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def quota(api: Api, name: str, **config: Any) -> None:
    await api.put("policies", policy_body(name, "r1", "quota", config, 100))


async def fill(api: Api, url: str) -> None:
    await api.route(url, plans=PLAN)
    await api.policy("api_key", {})
    await quota(api, "per-day", requests=3, period="day")
    await quota(api, "per-month", requests=100, period="month")
    await api.consumer("k1", "c1", [{"api_id": "r1", "plan": "gold"}])


async def test_quotas_of_consumers_are_shown_as_counted_and_can_be_reset(
    api: Api, upstream: Upstream
) -> None:
    await fill(api, upstream.url)
    assert await read(api, "/admin/quotas") == []
    assert [(await api.get("/a/x", KEY)).status for _ in range(4)] == [200, 200, 200, 429]
    (found,) = await read(api, "/admin/quotas")
    quotas = found.pop("quotas")
    assert found == {
        "consumer_id": "c1", "daily_count": 3, "daily_limit": 3, "daily_remaining": 0,
        "monthly_count": 3, "monthly_limit": 100, "monthly_remaining": 97,
    }  # fmt: skip
    assert quotas[0] == {
        "tenant_id": "acme", "api_id": "r1", "policy_id": "per-day", "period": "day", "count": 3,
        "limit": 3, "remaining": 0, "reset_at": "2026-06-02T00:00:00Z",
    }  # fmt: skip
    assert await read(api, "/admin/quotas/c1") == found | {"quotas": quotas}
    answer = await api.admin("POST", "/admin/quotas/c1/reset")
    assert (answer.status, await answer.json()) == (
        200, {"status": "ok", "message": "Quota reset for consumer 'c1'"},
    )  # fmt: skip
    assert (await read(api, "/admin/quotas/c1"))["daily_count"] == 0
    assert [(await api.get("/a/x", KEY)).status for _ in range(4)] == [200, 200, 200, 429]


async def test_a_consumer_that_used_nothing_is_not_found(api: Api, upstream: Upstream) -> None:
    await fill(api, upstream.url)
    answer = await api.admin("GET", "/admin/quotas/c1")
    assert (answer.status, answer.headers["Content-Length"]) == (404, "0")
    answer = await api.admin("POST", "/admin/quotas/nobody/reset")
    assert (answer.status, await answer.json()) == (
        404, {"status": "error", "message": "Consumer 'nobody' not found"},
    )  # fmt: skip


async def test_a_period_that_is_over_and_a_policy_that_is_gone_are_not_shown(
    api: Api, clock: FakeClock, upstream: Upstream
) -> None:
    await fill(api, upstream.url)
    await api.get("/a/x", KEY)
    clock.advance(24 * 3600)
    found = await read(api, "/admin/quotas/c1")
    assert [one["policy_id"] for one in found["quotas"]] == ["per-month"]
    assert (found["daily_limit"], found["daily_count"]) == (0, 0)
    await api.admin("DELETE", "/admin/policies/per-month")
    assert await read(api, "/admin/quotas") == []


async def test_other_callers_are_shown_when_asked_for_and_no_key_in_clear(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await quota(api, "by-ip", requests=5, period="hour", by="ip")
    await quota(api, "by-key", requests=5, period="hour", by="header:x-key")
    await api.get("/a/x", {"X-Key": "a-secret-of-somebody"})
    assert await read(api, "/admin/quotas") == []
    (by_ip,) = await read(api, "/admin/quotas?by=ip")
    assert (by_ip["consumer_id"], by_ip["quotas"][0]["remaining"]) == ("127.0.0.1", 4)
    (by_key,) = await read(api, "/admin/quotas?by=header")
    assert by_key["consumer_id"] == hashlib.sha256(b"a-secret-of-somebody").hexdigest()
    for page in ("", "?by=ip", "?by=header", "?by=tenant"):
        assert "a-secret" not in await (await api.admin("GET", f"/admin/quotas{page}")).text()


async def test_a_list_comes_in_pages_and_by_tenant(api: Api, upstream: Upstream) -> None:
    await fill(api, upstream.url)
    await api.consumer("k2", "c2", [{"api_id": "r1", "plan": "gold"}])
    for key in ("k1", "k2"):
        await api.get("/a/x", {"X-API-Key": key})
    for query, expected in (
        ("", ["c1", "c2"]), ("?limit=1", ["c1"]), ("?limit=1&after=c1", ["c2"]),
        ("?tenant=acme", ["c1", "c2"]), ("?tenant=rival", []),
    ):  # fmt: skip
        found = await read(api, f"/admin/quotas{query}")
        assert [one["consumer_id"] for one in found] == expected, query


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=501", "?limit=x", "?by=key", "?by=ip&by=ip", "?sort=up"]
)
async def test_a_query_that_asks_nothing_is_refused(api: Api, query: str) -> None:
    assert (await api.admin("GET", f"/admin/quotas{query}")).status == 400


async def test_paths_methods_and_the_token_are_checked(api: Api) -> None:
    assert (await api.get("/admin/quotas")).status == 401
    for method, path, status in (
        ("POST", "/admin/quotas", 405), ("DELETE", "/admin/quotas/c1", 405),
        ("GET", "/admin/quotas/c1/reset", 405), ("POST", "/admin/quotas/c1/other", 404),
    ):  # fmt: skip
        assert (await api.admin(method, path)).status == status, path


async def test_a_gateway_of_one_tenant_shows_no_other(upstream: Upstream) -> None:
    async with running(tenant_id="acme") as api:
        await fill(api, upstream.url)
        await api.get("/a/x", KEY)
        assert (await api.admin("GET", "/admin/quotas?tenant=rival")).status == 404
        assert len(await read(api, "/admin/quotas")) == 1


async def test_a_reset_outlives_a_restart(
    clock: FakeClock, tmp_path: Path, upstream: Upstream
) -> None:
    async with running(clock=clock, state_dir=str(tmp_path)) as api:
        await fill(api, upstream.url)
        for _ in range(3):
            assert (await api.get("/a/x", KEY)).status == 200
    async with running(clock=clock, state_dir=str(tmp_path)) as api:
        assert (await api.get("/a/x", KEY)).status == 429
        assert (await api.admin("POST", "/admin/quotas/c1/reset")).status == 200
    async with running(clock=clock, state_dir=str(tmp_path)) as api:
        assert (await read(api, "/admin/quotas/c1"))["daily_count"] == 0
        assert (await api.get("/a/x", KEY)).status == 200


async def test_several_processes_have_one_count_and_one_reset(upstream: Upstream) -> None:
    async with several() as api:
        await fill(api, upstream.url)
        await quota(api, "per-day", requests=30, period="day")
        before = (await api.ask_all("/a/x", KEY))[200]
        found = await api.administer("GET", "/admin/quotas")
        assert [(one["consumer_id"], one["daily_count"]) for one in found] == [("c1", before)]
        # Whichever worker is asked.
        answer = await api.admin("POST", "/admin/quotas/c1/reset")
        assert answer.status == 200, await answer.text()
        assert (await read(api, "/admin/quotas/c1"))["daily_count"] == 0
        statuses = [(await api.ask("/a/x", KEY))[0] for _ in range(31)]
        assert statuses == [200] * 30 + [429]
