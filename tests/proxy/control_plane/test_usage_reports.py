"""What a gateway counts reaches the control plane once, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import stoa_proxy.control_plane.usage_reports as reports_module
from aiohttp import web

from tests.proxy.conftest import FakeClock, Upstream
from tests.proxy.control_plane.conftest import Join, Timer
from tests.proxy.control_plane.double import ControlPlane, reply


def kept(plane: ControlPlane) -> dict[tuple[Any, ...], int]:
    """Requests by source, hour and application, as a control plane keeps them."""
    found: dict[tuple[Any, ...], int] = {}
    for report in plane.usage:
        for row in report["usage"]:
            key = (report["source"], row["hour"], row["application_id"])
            found[key] = max(found.get(key, 0), row["requests"])
    return found


async def taken_and_lost(plane: ControlPlane) -> Any:
    """An answer that never comes, though the report is kept."""

    async def answer(request: web.Request) -> web.StreamResponse:
        plane.usage.append(await request.json())
        assert request.transport is not None
        request.transport.close()
        return web.Response(status=204)

    return answer


async def test_what_was_counted_is_reported_once_it_has_grown(
    plane: ControlPlane, join: Join, timer: Timer, upstream: Upstream, tmp_path: Path
) -> None:
    config = {"state_dir": str(tmp_path)}
    async with join(plane.url, config, pulls=False) as api:
        await api.route(upstream.url)
        await api.get("/a/x")
        await timer.next(2)
        await timer.next(2)
        await plane.until(lambda: len(plane.usage) == 1)
        (row,) = plane.usage[0]["usage"]
        assert row["hour"] % 3600 == 0
        assert {name: row[name] for name in ("tenant_id", "api_id", "application_id")} == {
            "tenant_id": "acme", "api_id": "r1", "application_id": "",
        }  # fmt: skip
        assert (row["requests"], row["errors"], row["refused"]) == (1, 0, 0)
        assert row["seconds"] > 0
        # Nothing was counted since, so nothing is sent.
        beats = len(plane.of("heartbeat"))
        for _ in range(4):
            await timer.next(2)
        await plane.until(lambda: len(plane.of("heartbeat")) >= beats + 2)
        assert len(plane.usage) == 1
        await api.get("/a/x")
    # At the end it is told once more.
    assert plane.usage[-1]["usage"][0]["requests"] == 2
    assert list(kept(plane).values()) == [2]


async def test_requests_that_end_while_the_gateway_stops_are_reported(
    plane: ControlPlane,
    join: Join,
    start_upstream: Callable[..., Awaitable[Upstream]],
    tmp_path: Path,
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await plane.until(lambda: bool(plane.of("delete")))
        return web.Response()

    upstream = await start_upstream(answer)
    async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False) as api:
        await api.route(upstream.url)
        await plane.until(lambda: bool(plane.members))
        last = asyncio.create_task(api.get("/a/x"))
        await plane.until(lambda: bool(upstream.seen))
        # It is nobody's any more when the last request ends.
        await api.gateway.stop(30)
        assert (await last).status == 200
        assert list(kept(plane).values()) == [1]


async def test_a_report_whose_answer_is_lost_is_sent_again_and_counts_once(
    plane: ControlPlane, join: Join, timer: Timer, upstream: Upstream, tmp_path: Path
) -> None:
    plane.on("usage", await taken_and_lost(plane), reply(500), reply(503))
    async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False) as api:
        await api.route(upstream.url)
        for number in range(1, 4):
            await api.get("/a/x")
            await with_reports(timer, plane, number)
    assert list(kept(plane).values()) == [3]


async def test_restarts_of_either_side_lose_and_double_nothing(
    plane: ControlPlane, join: Join, timer: Timer, upstream: Upstream, tmp_path: Path
) -> None:
    for start in range(3):
        # The first end is not heard; the second gateway is not known any more at its own.
        plane.on("usage", reply(500), reply(500))
        async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False) as api:
            if not start:
                await api.route(upstream.url)
            await api.get("/a/x")
            if start == 1:
                plane.loses_registrations()
    plane.answers.clear()
    async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False):
        await plane.until(lambda: sum(kept(plane).values()) == 3)
    assert list(kept(plane).values()) == [3]


async def test_another_database_counts_beside_the_old_one(
    plane: ControlPlane, join: Join, upstream: Upstream, tmp_path: Path
) -> None:
    for start in range(2):
        folder = tmp_path / str(start)
        async with join(plane.url, {"state_dir": str(folder)}, pulls=False) as api:
            await api.route(upstream.url)
            await api.get("/a/x")
    assert len({source for source, *_ in kept(plane)}) == 2
    assert list(kept(plane).values()) == [1, 1]


async def test_a_gateway_of_another_name_counts_no_hour_twice(
    plane: ControlPlane, join: Join, upstream: Upstream, tmp_path: Path, clock: FakeClock
) -> None:
    async def count(name: str) -> None:
        config = {"state_dir": str(tmp_path)}
        async with join(plane.url, config, pulls=False, instance_name=name) as api:
            await api.route(upstream.url)
            await plane.until(lambda: bool(plane.members))
            await api.get("/a/x")

    def reported() -> list[tuple[int, int]]:
        """What the last reports say: whose, by number, and how many requests."""
        whose = list(dict.fromkeys((one.path, one.body["source"]) for one in plane.of("usage")))
        sums: dict[tuple[str, str, int], int] = {}
        for one in plane.of("usage"):
            for row in one.body["usage"]:
                sums[one.path, one.body["source"], row["hour"]] = row["requests"]
        return [(whose.index(key[:2]), value) for key, value in sums.items()]

    await count("first")
    # A container that is made anew, with the volume of the one before.
    await count("second")
    assert reported() == [(0, 2)], "of an hour that was the first one's, it stays"
    await count("third")
    clock.advance(3600)
    await count("third")
    assert reported() == [(0, 3), (1, 1)]
    # Who had the name before is forgotten.
    plane.left.clear()
    await count("fourth")
    assert sum(kept(plane).values()) == 5


async def test_many_rows_are_sent_in_parts_and_only_the_gateways_own_tenant(
    plane: ControlPlane,
    join: Join,
    upstream: Upstream,
    tmp_path: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports_module, "_MAX_ROWS", 2)
    # A database of a version that reported nothing, with rows of another tenant's time.
    with sqlite3.connect(tmp_path / "gateway-usage.db") as database:
        database.execute(
            "create table usage (hour integer not null, tenant_id text not null, "
            "api_id text not null, application_id text not null, requests integer not null, "
            "errors integer not null, refused integer not null, received integer not null, "
            "sent integer not null, seconds real not null, "
            "primary key (hour, tenant_id, api_id, application_id)) without rowid"
        )
        hour = int(clock.now().timestamp())
        rows = [(hour, "acme", "r1", f"c{number}") for number in range(5)]
        rows.append((hour, "rival", "r1", "c0"))
        database.executemany("insert into usage values (?, ?, ?, ?, 7, 0, 0, 0, 0, 1.5)", rows)
    database.close()
    config = {"state_dir": str(tmp_path), "tenant_id": "acme"}
    async with join(plane.url, config, pulls=False):
        await plane.until(lambda: len(kept(plane)) == 5)
    # The last one comes again where the gateway ended before it had read the answer.
    assert [len(report["usage"]) for report in plane.usage][:3] == [2, 2, 1]
    assert {row["tenant_id"] for report in plane.usage for row in report["usage"]} == {"acme"}


async def test_rows_that_grow_while_they_are_sent_keep_no_other_from_being_sent(
    plane: ControlPlane,
    join: Join,
    timer: Timer,
    upstream: Upstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports_module, "_MAX_ROWS", 2)
    async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False) as api:
        for number in range(5):
            await api.route(upstream.url, id=f"r{number}", path_prefix=f"/a{number}")

        async def call_all() -> None:
            for number in range(5):
                await api.get(f"/a{number}/x")

        async def answer(request: web.Request) -> web.StreamResponse:
            await call_all()
            plane.usage.append(await request.json())
            return web.Response(status=204)

        plane.on("usage", *[answer] * 1000)
        await call_all()
        # Beside it: time stands still while reports are sent.
        passing = asyncio.create_task(with_reports(timer, plane, 1))

        def sent() -> set[str]:
            return {row["api_id"] for report in plane.usage for row in report["usage"]}

        # Two passes at most: the first may begin before all were called.
        await plane.until(lambda: len(sent()) == 5 or len(plane.usage) > 6)
        plane.answers.clear()
        assert sent() == {"r0", "r1", "r2", "r3", "r4"}
        await passing


async def test_a_control_plane_without_the_call_is_asked_quietly(
    plane: ControlPlane,
    join: Join,
    timer: Timer,
    upstream: Upstream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plane.on("usage", *[reply(404, {"detail": "Not Found"})] * 9)
    async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False) as api:
        await api.route(upstream.url)
        await api.get("/a/x")
        await with_reports(timer, plane, 1)
        assert (await api.get("/a/x")).status == 200
    assert "report of usage" not in caplog.text


async def test_a_row_that_is_refused_holds_up_no_other(
    plane: ControlPlane,
    join: Join,
    timer: Timer,
    upstream: Upstream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        report = await request.json()
        if any(row["api_id"] in ("r1", "r4") for row in report["usage"]):
            return web.Response(status=422)
        plane.usage.append(report)
        return web.Response(status=204)

    plane.on("usage", *[answer] * 99)
    async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False) as api:
        for number in range(6):
            await api.route(upstream.url, id=f"r{number}", path_prefix=f"/a{number}")
            await api.get(f"/a{number}/x")
        said = "is not reported until it grows"
        for _ in range(60):
            await timer.next(2)
            taken = {row["api_id"] for report in plane.usage for row in report["usage"]}
            if len(taken) == 4 and caplog.text.count(said) == 2:
                break
        count = len(plane.of("usage"))
        for _ in range(4):
            await timer.next(2)
        assert len(plane.of("usage")) == count, "what is refused is not sent again as it is"
    assert taken == {"r0", "r2", "r3", "r5"}


async def test_a_refusal_is_said(
    plane: ControlPlane,
    join: Join,
    timer: Timer,
    upstream: Upstream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plane.on("usage", reply(413))
    async with join(plane.url, {"state_dir": str(tmp_path)}, pulls=False) as api:
        await api.route(upstream.url)
        await api.get("/a/x")
        await with_reports(timer, plane, 1)
        await plane.until(lambda: "report of usage failed: status 413" in caplog.text)


async def with_reports(timer: Timer, plane: ControlPlane, count: int) -> None:
    """Let time pass until so many reports were sent."""
    while len(plane.of("usage")) < count:
        await timer.next(2)
