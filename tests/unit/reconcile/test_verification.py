"""A route that did not answer is remembered, called again in each cycle, and said to be silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web

from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers import execution
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.drivers.route_probe import NOT_PROBED, PROBE_FAILED, ProbePolicy, Prober
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import PlanHints, Probe, Resource
from stoa_gitops.reconcile.conditions import cycle_conditions
from stoa_gitops.reconcile.cycle import CycleResult, cycle
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.session import scope_of
from tests.adapters.front import listening
from tests.unit.drivers.fake_clock import FakeClock, TaskClock
from tests.unit.reconcile.rig import Rig, rig
from tests.unit.reconcile.world import BILLING, NOW, resource

TRIES = ProbePolicy(
    in_a_row=1, seconds=300.0, answer_seconds=30.0, pause_seconds=0.0, total_seconds=3600.0,
    tenant_seconds=1800.0, quick_seconds=30.0,
)  # fmt: skip


@dataclass
class Routes:
    """What answers at the gateway's public address."""

    status: int = 503
    calls: int = 0


@asynccontextmanager
async def silent(folder: Path) -> AsyncIterator[tuple[Rig, Routes]]:
    routes = Routes()

    async def handle(_: web.Request) -> web.Response:
        routes.calls += 1
        return web.Response(status=routes.status)

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner, url = await listening(app)
    try:
        async with rig(folder) as one:
            instance = replace(one.driver.connection.instance, public_url=url)
            connection = Connection(instance, instance.base_url, "default")
            one.driver = Driver(info_for("memory"), connection, clock=lambda: NOW)
            yield one, routes
            await one.driver.aclose()
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a few tries: time passes only while the prober pauses."""

    def make(url: str, _: ProbePolicy | None = None) -> Prober:
        clock = FakeClock(150.0)
        return Prober(url, TRIES, clock=clock, sleep=clock.sleep)

    monkeypatch.setattr(execution, "Prober", make)


def probed(path: str = "/apis/acme/billing/health") -> Resource:
    return replace(resource(), hints=PlanHints(probes=(Probe(path),)))


async def again(one: Rig, *wanted: Resource) -> CycleResult:
    """A cycle of a process that was just started."""
    one.cache = PlanCache()
    return await cycle(one.session, one.assignment(*wanted))


async def test_a_route_that_did_not_answer_stays_not_verified_until_it_does(tmp_path: Path) -> None:
    async with silent(tmp_path) as (one, routes):
        first = await cycle(one.session, one.assignment(probed()))
        assert [o.reason for o in first.report.outcomes] == [PROBE_FAILED]
        for _ in range(2):
            result = await again(one, probed())
            (outcome,) = result.report.outcomes
            assert (outcome.status, outcome.reason) == (Status.BLOCKED, PROBE_FAILED)
            assert not result.report.is_converged
            assert "not verified" in result.report.plan.warnings[0]
            assert "was answered with 503" in result.report.plan.warnings[0]
        routes.status = 200
        healed = await again(one, probed())
        assert [o.status for o in healed.report.outcomes] == [Status.UNCHANGED]
        assert healed.report.is_converged
        calls = routes.calls
        quiet = await again(one, probed())
        assert (quiet.report.outcomes, quiet.report.plan.warnings) == ((), ())
        assert routes.calls == calls


async def test_what_was_written_is_recorded_and_the_condition_names_the_silent_route(
    tmp_path: Path,
) -> None:
    async with silent(tmp_path) as (one, _):
        await cycle(one.session, one.assignment(probed()))
        assert BILLING in await one.store.load_records(scope_of(one.assignment(probed())))
        result = await again(one, probed())
        assert not result.report.plan.changes
        assert result.is_ok, "it waits for the next interval"
        reasons = [condition.reason for condition in cycle_conditions(result, 1, NOW)]
        assert PROBE_FAILED in reasons


async def test_without_a_probe_nothing_is_left_to_verify(tmp_path: Path) -> None:
    async with silent(tmp_path) as (one, routes):
        await cycle(one.session, one.assignment(probed()))
        calls = routes.calls
        result = await again(one, resource())
        assert result.report.is_converged
        assert not (await again(one, resource())).report.plan.warnings
        assert routes.calls == calls


async def test_routes_for_which_there_was_no_time_are_called_by_the_next_cycles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def share(url: str, _: ProbePolicy | None = None) -> Prober:
        clock = TaskClock(150.0)
        return Prober(url, replace(TRIES, tenant_seconds=600.0), clock=clock, sleep=clock.sleep)

    monkeypatch.setattr(execution, "Prober", share)
    names = [f"a{number:02}" for number in range(12)]
    wanted = [
        replace(probed(f"/apis/acme/{name}"), key=BILLING._replace(name=name)) for name in names
    ]
    async with silent(tmp_path) as (one, routes):
        first = await cycle(one.session, one.assignment(*wanted))
        reasons = [outcome.reason for outcome in first.report.outcomes]
        assert 0 < reasons.count(PROBE_FAILED) < len(names)
        assert set(reasons) == {PROBE_FAILED, NOT_PROBED}
        seen: set[str] = set()
        for _ in range(4):
            one.turn(minutes=1)
            result = await again(one, *wanted)
            assert len(result.report.plan.warnings) == len(names)
            seen |= {outcome.change.key.name for outcome in result.report.outcomes}
        assert seen == set(names)
        routes.status = 200
        healed = await again(one, *wanted)
        assert [o.status for o in healed.report.outcomes] == [Status.UNCHANGED] * len(names)
