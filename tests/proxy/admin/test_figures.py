"""Figures of circuit breakers and of the cache, as the admin API shows and resets them."""

from __future__ import annotations

from typing import Any

from tests.proxy.conftest import Api, FakeClock, Upstream


async def read(api: Api, path: str) -> Any:
    answer = await api.admin("GET", path)
    assert answer.status == 200
    return await answer.json()


async def test_breakers_of_backends_that_failed_are_listed_and_can_be_closed(
    api: Api, clock: FakeClock, closed_url: str
) -> None:
    await api.route(closed_url)
    await api.policy("circuit_breaker", {"failures": 2, "window": "1m", "reset": "1h"})
    assert await read(api, "/admin/circuit-breakers") == []
    assert [(await api.get("/a/x")).status for _ in range(4)] == [502, 502, 503, 503]
    (found,) = await read(api, "/admin/circuit-breakers")
    assert found == {
        "name": f"r1 {closed_url}", "state": "open", "success_count": 0, "failure_count": 2,
        "failures_in_window": 2, "open_count": 1, "rejected_count": 2,
    }  # fmt: skip
    assert await read(api, "/admin/circuit-breaker/stats") == found | {"name": "all"}
    clock.advance(61)
    (later,) = await read(api, "/admin/circuit-breakers")
    assert later == found | {"failures_in_window": 0}
    name = found["name"].replace("/", "%2F").replace(" ", "%20")
    answer = await api.admin("POST", f"/admin/circuit-breakers/{name}/reset")
    body = await answer.json()
    assert (answer.status, body["previous_state"], body["new_state"]) == (200, "open", "closed")
    assert [(await api.get("/a/x")).status for _ in range(3)] == [502, 502, 503]
    answer = await api.admin("POST", "/admin/circuit-breaker/reset")
    assert await answer.json() == {
        "status": "ok", "previous_state": "open", "new_state": "closed",
        "message": "Circuit breaker reset to closed",
    }  # fmt: skip
    assert (await api.get("/a/x")).status == 502
    answer = await api.admin("POST", "/admin/circuit-breakers/none/reset")
    assert answer.status == 404
    assert await answer.json() == {
        "status": "error", "message": "Circuit breaker 'none' not found", "name": "none",
    }  # fmt: skip


async def test_the_cache_is_counted_and_can_be_cleared(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("caching", {"ttl": "1h"})
    for _ in range(3):
        assert (await api.get("/a/x")).status == 200
    stats = await read(api, "/admin/cache/stats")
    assert (stats["responses"], stats["requests"]["hit"], stats["requests"]["miss"]) == (1, 2, 1)
    assert stats["bytes"] > 0
    contract = {name: stats[name] for name in ("entry_count", "hits", "misses", "hit_rate")}
    assert contract == {"entry_count": 1, "hits": 2, "misses": 1, "hit_rate": 0.6667}
    answer = await api.admin("POST", "/admin/cache/clear")
    assert (await answer.json())["message"] == "1 responses removed"
    assert (await read(api, "/admin/cache/stats"))["bytes"] == 0
    assert (await api.get("/a/x")).status == 200
    assert len(upstream.seen) == 2


async def test_figures_need_the_token_and_their_method(api: Api) -> None:
    for path in ("/admin/circuit-breakers", "/admin/cache/stats"):
        assert (await api.get(path)).status == 401
        answer = await api.admin("DELETE", path)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    assert (await api.admin("GET", "/admin/cache/other")).status == 501
