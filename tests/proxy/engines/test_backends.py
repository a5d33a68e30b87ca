"""Several backends of one route, on both engines and real servers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web

from tests.proxy.conftest import Api, FakeClock, Upstream, route_body, running

Start = Callable[..., Awaitable[Upstream]]


def several(*backends: str | tuple[str, int]) -> list[dict[str, Any]]:
    return [
        {"url": one} if isinstance(one, str) else {"url": one[0], "weight": one[1]}
        for one in backends
    ]


def counts(upstreams: Sequence[Upstream]) -> list[int]:
    return [len(upstream.seen) for upstream in upstreams]


async def responds(status: int) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status)

    return answer


async def figures(api: Api) -> list[dict[str, Any]]:
    answer = await api.admin("GET", "/admin/backends")
    assert answer.status == 200
    found: list[dict[str, Any]] = await answer.json()
    return found


async def test_each_backend_gets_exactly_its_weight_and_the_turn_outlives_writes(
    api: Api, start_upstream: Start
) -> None:
    upstreams = [await start_upstream() for _ in range(3)]
    fields = {
        "upstreams": several(*zip([one.url for one in upstreams], (5, 3, 0), strict=True)),
        "load_balancer": "weighted",
    }
    await api.route(upstreams[0].url, **fields)
    for number in range(16):
        if number % 3 == 0:
            # The same backends again, as each reconciliation may write them.
            await api.route(upstreams[0].url, **fields, timeout_ms=30_000 + number)
        assert (await api.get(f"/a/{number}")).status == 200
    assert counts(upstreams) == [10, 6, 0]
    assert [one["selections"] for one in await figures(api)] == [10, 6, 0]


async def test_a_change_of_weights_moves_the_traffic_with_the_next_request(
    api: Api, start_upstream: Start
) -> None:
    old, new = await start_upstream(), await start_upstream()
    for weight, expected in ((0, [10, 0]), (20, [18, 2]), (100, [18, 12])):
        await api.route(
            old.url,
            upstreams=several((old.url, 100 - weight if weight < 100 else 0), (new.url, weight)),
            load_balancer="weighted",
        )
        assert {(await api.get("/a")).status for _ in range(10)} == {200}
        assert counts([old, new]) == expected


@pytest.mark.parametrize("algorithm", ["round_robin", "least_conn"])
async def test_equal_backends_take_turns(api: Api, start_upstream: Start, algorithm: str) -> None:
    upstreams = [await start_upstream() for _ in range(3)]
    urls = several(*(one.url for one in upstreams))
    await api.route(upstreams[0].url, upstreams=urls, load_balancer=algorithm)
    for _ in range(9):
        assert (await api.get("/a")).status == 200
    assert counts(upstreams) == [3, 3, 3]


async def test_chance_is_the_gateways_own(start_upstream: Start) -> None:
    upstreams = [await start_upstream() for _ in range(2)]
    draws = iter([0.1, 0.9, 0.6, 0.4, 0.99] + [0.5] * 100)
    async with running(jitter=lambda: next(draws)) as api:
        urls = several(*(one.url for one in upstreams))
        await api.route(upstreams[0].url, upstreams=urls, load_balancer="random")
        for _ in range(5):
            assert (await api.get("/a")).status == 200
    assert counts(upstreams) == [2, 3]


async def test_least_connections_goes_where_fewest_requests_are(
    api: Api, start_upstream: Start
) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def wait(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await gate.wait()
        return web.Response()

    slow, fast = await start_upstream(wait), await start_upstream()
    urls = several(slow.url, fast.url)
    await api.route(slow.url, upstreams=urls, load_balancer="least_conn")
    first = asyncio.create_task(api.get("/a"))
    await asyncio.wait_for(begun.wait(), 30)
    assert {(await api.get("/a")).status for _ in range(5)} == {200}
    assert counts([slow, fast]) == [1, 5]
    gate.set()
    assert (await first).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_cannot_connect_goes_to_another_backend_whatever_the_method(
    api: Api, upstream: Upstream, closed_url: str, method: str
) -> None:
    urls = several(closed_url, upstream.url)
    await api.route(closed_url, upstreams=urls)
    for number in range(4):
        answer = await api.send(method, "/a", data=b"body" if method == "POST" else None)
        assert answer.status == 200, number
    assert [one.body for one in upstream.seen] == [b"body" if method == "POST" else b""] * 4


async def test_a_retry_goes_to_another_backend(api: Api, start_upstream: Start) -> None:
    bad, good = await start_upstream(await responds(503)), await start_upstream()
    await api.route(bad.url, upstreams=several(bad.url, good.url))
    await api.policy("retry", {"attempts": 2, "on": [503], "backoff": "0s"})
    assert [(await api.get("/a")).status for _ in range(4)] == [200] * 4
    # Without the rule that another one is asked, the second attempt of some went to the bad one.
    assert counts([bad, good]) == [2, 4]


async def test_a_request_that_broke_off_is_not_sent_again_where_it_must_not_be(
    api: Api, start_upstream: Start
) -> None:
    async def drop(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    broken, good = await start_upstream(drop), await start_upstream()
    await api.route(broken.url, upstreams=several(broken.url, good.url), retries=3)
    answer = await api.send("POST", "/a", data=b"pay")
    assert answer.status == 502
    assert counts([broken, good]) == [1, 0]
    # A GET is, by its `retries`: at the other one.
    assert [(await api.get("/a")).status for _ in range(2)] == [200, 200]


async def test_failures_in_a_row_eject_a_backend_for_a_while(
    api: Api, start_upstream: Start, clock: FakeClock
) -> None:
    bad, good = await start_upstream(await responds(500)), await start_upstream()
    check = {"passive": {"failures": 2, "eject_ms": 10_000}}
    await api.route(bad.url, upstreams=several(bad.url, good.url), health_check=check)
    assert Counter([(await api.get("/a")).status for _ in range(4)]) == {500: 2, 200: 2}
    assert [(await api.get("/a")).status for _ in range(6)] == [200] * 6
    shown = await figures(api)
    assert [one["consecutive_failures"] for one in shown] == [2, 0]
    assert shown[0]["ejected_seconds"] == 10.0
    metrics = await (await api.get("/metrics")).text()
    assert "stoa_backends_ejected 1" in metrics
    assert "stoa_backend_ejections_total 1" in metrics
    assert 'gateway_lb_selections_total{strategy="round_robin"} 10' in metrics
    # Whoever writes the route again writes no other state of its backends.
    await api.route(
        bad.url, upstreams=several(bad.url, good.url), health_check=check, timeout_ms=5000
    )
    assert [(await api.get("/a")).status for _ in range(3)] == [200] * 3
    clock.advance(10.1)
    bad.answer = None
    assert [(await api.get("/a")).status for _ in range(4)] == [200] * 4
    assert len(bad.seen) == 4


async def test_where_no_backend_is_well_all_are_tried(api: Api, start_upstream: Start) -> None:
    upstreams = [await start_upstream(await responds(500)) for _ in range(2)]
    urls = several(*(one.url for one in upstreams))
    check = {"passive": {"failures": 1, "eject_ms": 60_000}}
    await api.route(upstreams[0].url, upstreams=urls, health_check=check)
    assert [(await api.get("/a")).status for _ in range(8)] == [500] * 8
    assert counts(upstreams) == [4, 4]
    assert "stoa_backend_panics_total 6" in await (await api.get("/metrics")).text()
    for upstream in upstreams:
        upstream.answer = None
    assert (await api.get("/a")).status == 200


async def test_where_no_backend_is_well_the_fallback_is_used(
    api: Api, start_upstream: Start
) -> None:
    upstreams = [await start_upstream(await responds(404)) for _ in range(2)]
    urls = several(*(one.url for one in upstreams))
    check = {"passive": {"failures": 1, "eject_ms": 60_000}}
    await api.route(
        upstreams[0].url, upstreams=urls, health_check=check, fallback_url="builtin:echo"
    )
    for upstream in upstreams:
        upstream.answer = await responds(502)
    for expected in ("status-502", "status-502", "upstream-down", "upstream-down"):
        answer = await api.get("/a")
        assert (answer.status, answer.headers["X-Stoa-Fallback"]) == (200, expected)
    assert counts(upstreams) == [1, 1]


async def test_an_open_breaker_keeps_requests_from_its_backend_alone(
    api: Api, start_upstream: Start
) -> None:
    bad, good = await start_upstream(await responds(500)), await start_upstream()
    check = {"passive": {"failures": 0}}
    await api.route(bad.url, upstreams=several(bad.url, good.url), health_check=check)
    await api.policy("circuit_breaker", {"failures": 2, "window": "1m", "reset": "1m"})
    assert Counter([(await api.get("/a")).status for _ in range(4)]) == {500: 2, 200: 2}
    assert [(await api.get("/a")).status for _ in range(5)] == [200] * 5
    assert counts([bad, good]) == [2, 7]
    good.answer = await responds(500)
    assert [(await api.get("/a")).status for _ in range(4)] == [500, 500, 503, 503]


async def test_backends_of_one_host_are_told_apart_by_their_path(
    api: Api, upstream: Upstream
) -> None:
    urls = several((f"{upstream.url}/v1", 3), (f"{upstream.url}/v2", 1))
    await api.route(upstream.url, upstreams=urls, load_balancer="weighted")
    for _ in range(8):
        assert (await api.get("/a/x?q=1")).status == 200
    assert Counter(one.target for one in upstream.seen) == {"/v1/x?q=1": 6, "/v2/x?q=1": 2}


class Checked:
    """A gateway whose checks run when a test says so."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.due = asyncio.Condition()
        self.sleeping: list[asyncio.Event] = []

    async def pause(self, seconds: float) -> None:
        event = asyncio.Event()
        self.seconds.append(seconds)
        async with self.due:
            self.sleeping.append(event)
            self.due.notify_all()
        try:
            await event.wait()
        finally:
            if event in self.sleeping:
                self.sleeping.remove(event)

    async def until(self, count: int) -> None:
        """Wait until so many loops are asleep."""
        async with asyncio.timeout(30), self.due:
            await self.due.wait_for(lambda: len(self.sleeping) >= count)

    async def check(self, count: int) -> None:
        """Let all loops check once."""
        await self.until(count)
        sleeping, self.sleeping = self.sleeping, []
        for event in sleeping:
            event.set()
        await self.until(count)


ACTIVE = {"path": "/up", "interval_ms": 1000, "timeout_ms": 30_000, "unhealthy": 2, "healthy": 2}


async def test_checks_take_a_backend_out_and_bring_it_back(start_upstream: Start) -> None:
    checks, health = Checked(), {"status": 200}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=health["status"] if request.path == "/up" else 200)

    first, second = await start_upstream(answer), await start_upstream()
    async with running(pause=checks.pause) as api:
        urls = several(f"{first.url}/base", second.url)
        for route_id in ("r1", "r2"):  # two routes, and one loop for each backend
            await api.route(
                first.url, f"/{route_id}", id=route_id, api_id="one", upstreams=urls,
                health_check={"active": ACTIVE},
            )  # fmt: skip
        await checks.check(2)  # the first pause, and the first check
        assert [one.target for one in first.seen] == ["/up"]
        assert first.seen[0].all("user-agent") == ["stoa-gateway-health"]
        health["status"] = 503
        await checks.check(2)
        assert [one["healthy"] for one in await figures(api)] == [True] * 4
        await checks.check(2)
        shown = await figures(api)
        assert [one["healthy"] for one in shown] == [False, True] * 2
        assert shown[0]["trouble"] == "it responds with 503"
        before = len(first.seen)
        assert [(await api.get("/r1")).status for _ in range(4)] == [200] * 4
        assert len(first.seen) == before
        metrics = await (await api.get("/metrics")).text()
        assert 'stoa_backends_checked{health="unhealthy"} 1' in metrics
        assert (await api.get("/ready")).status == 200
        health["status"] = 200
        await checks.check(2)
        await checks.check(2)
        assert [one["healthy"] for one in await figures(api)] == [True] * 4


async def test_all_checks_of_a_tenant_ask_a_hundred_times_a_second_at_most(
    api: Api, start_upstream: Start
) -> None:
    """One tenant must not keep the gateway busy, nor have it flood a host, by its checks."""
    checks, upstream = Checked(), await start_upstream()
    active = {**ACTIVE, "interval_ms": 100}
    async with running(pause=checks.pause) as api:
        urls = [f"{upstream.url}/{number}" for number in range(40)]
        await api.route(upstream.url, upstreams=several(*urls), health_check={"active": active})
        await api.route(
            upstream.url, "/b", id="r2", api_id="r2", tenant_id="other",
            upstreams=several(*urls[:2]), health_check={"active": active},
        )  # fmt: skip
        await checks.until(42)
        checks.seconds.clear()
        await checks.check(42)
        pauses = sorted(checks.seconds)
        assert all(0.09 <= one <= 0.11 for one in pauses[:2]), "nobody waits for others"
        assert all(0.36 <= one <= 0.44 for one in pauses[2:])


async def test_loops_end_with_the_routes_that_have_them_and_others_go_on(
    start_upstream: Start,
) -> None:
    checks = Checked()
    upstreams = [await start_upstream(await responds(500)) for _ in range(3)]
    async with running(pause=checks.pause) as api:

        async def write(*chosen: Upstream, **fields: Any) -> None:
            urls = several(*(one.url for one in chosen))
            active = {"active": {**ACTIVE, "unhealthy": 1}}
            await api.route(chosen[0].url, upstreams=urls, health_check=active, **fields)

        checker = api.gateway._health_checker
        await write(*upstreams[:2])
        await checks.check(2)
        tasks = dict(checker._tasks)
        assert [one["healthy"] for one in await figures(api)] == [False, False]
        await write(upstreams[0], upstreams[2], timeout_ms=5000)
        assert len(checker) == 2
        # What stays keeps its loop and what is known of it.
        assert [one["healthy"] for one in await figures(api)] == [False, True]
        kept = [task for probed, task in checker._tasks.items() if probed in tasks]
        assert len(kept) == 1
        await write(upstreams[0], upstreams[2], activated=False)
        assert len(checker) == 0
        await write(upstreams[0], upstreams[2])
        await checks.until(2)
        assert (await api.admin("DELETE", "/admin/apis/r1")).status == 204
        assert len(checker) == 0
        await write(*upstreams)
        await checks.until(3)
        left = list(checker._tasks.values())
    assert all(task.cancelled() for task in left)


async def test_a_check_that_hangs_or_leads_away_is_a_failure(start_upstream: Start) -> None:
    checks, gate = Checked(), asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.StreamResponse:
        await gate.wait()
        return web.Response()

    elsewhere = await start_upstream()

    async def lead_away(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{elsewhere.url}/up"})

    hanging, leading = await start_upstream(hang), await start_upstream(lead_away)
    async with running(pause=checks.pause) as api:
        for route_id, upstream, limit in (("r1", hanging, 50), ("r2", leading, 30_000)):
            await api.route(
                upstream.url, f"/{route_id}", id=route_id, api_id=route_id,
                upstreams=several(upstream.url),
                health_check={"active": {**ACTIVE, "timeout_ms": limit, "unhealthy": 1}},
            )  # fmt: skip
        await checks.check(2)
        shown = await figures(api)
        assert [one["healthy"] for one in shown] == [False, False]
        assert "timeout" in shown[0]["trouble"]
        assert shown[1]["trouble"] == "it responds with 302"
        gate.set()
    assert elsewhere.seen == []


async def test_backends_and_checks_are_under_the_address_rules(start_upstream: Start) -> None:
    checks, upstreams = Checked(), [await start_upstream() for _ in range(2)]
    urls = several(*(one.url for one in upstreams))
    async with running(pause=checks.pause) as api:
        active = {"active": {**ACTIVE, "unhealthy": 1}}
        await api.route(upstreams[0].url, upstreams=urls, health_check=active)
        await api.gateway.update_backends(allow=())
        await checks.check(2)
        assert [one["healthy"] for one in await figures(api)] == [False, False]
        assert (await api.get("/a")).status == 502
        assert counts(upstreams) == [0, 0]
        body = route_body("https://b.example", upstreams=[*several("https://b.example"), *urls])
        answer = await api.admin("POST", "/admin/apis", body)
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("upstreams[1].url targets a private")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"upstreams": [{"url": "http://b", "weight": 1001}]}, "upstreams[0].weight"),
        ({"upstreams": [{"url": "http://b", "weight": 0}]}, "one weight at least"),
        ({"upstreams": several("http://b", "http://b")}, "different URLs"),
        ({"upstreams": several("builtin:echo")}, "upstreams[0].url"),
        ({"upstreams": [{"url": "http://b", "healthy": 1}]}, "upstreams[0].healthy"),
        (
            {"upstreams": [{"url": "http://b", "health_check_path": "/x"}]},
            "use health_check.active.path",
        ),
        ({"health_check": {}}, "health_check needs upstreams"),
        (
            {"upstreams": several("http://b"), "health_check": {"active": {"path": "@evil/"}}},
            "health_check.active.path",
        ),
        (
            {
                "upstreams": several("http://b"),
                "health_check": {"active": {"path": "/", "interval_ms": 1, "statuses": [99]}},
            },
            "health_check.active.interval_ms",
        ),
    ],
)
async def test_backends_that_make_no_sense_are_refused_by_field(
    api: Api, fields: dict[str, Any], named: str
) -> None:
    answer = await api.admin("POST", "/admin/apis", route_body("http://b", **fields))
    assert answer.status == 400
    assert any(named in error for error in (await answer.json())["errors"])


async def test_backends_and_checks_are_read_back_and_outlive_a_restart(
    start_upstream: Start, tmp_path: Any
) -> None:
    upstreams = [await start_upstream() for _ in range(2)]
    fields = {
        "upstreams": several((upstreams[0].url, 1), (upstreams[1].url, 3)),
        "load_balancer": "weighted",
        "health_check": {
            "active": {**ACTIVE, "statuses": [200, 204]},
            "passive": {"failures": 3, "eject_ms": 1000},
        },
    }
    checks = Checked()
    async with running(state_dir=str(tmp_path), pause=checks.pause) as api:
        await api.route(upstreams[0].url, **fields)
    async with running(state_dir=str(tmp_path), pause=checks.pause) as api:
        read = await (await api.admin("GET", "/admin/apis/r1")).json()
        assert {name: read[name] for name in fields} == fields
        for _ in range(4):
            assert (await api.get("/a")).status == 200
        assert counts(upstreams) == [1, 3]
        assert len(api.gateway._health_checker) == 2
