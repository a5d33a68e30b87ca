from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from stoa_gitops.daemon.gateway_assignment import MOST_PAUSES, GatewayAssignment
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.fleet.members import Fleet
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.outcomes import Report
from stoa_gitops.model.plan import Plan
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.queue import REGISTERED, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.reconcile.worker_pool import WorkerPool
from tests.e2e.running import until
from tests.unit.fleet.test_binding import EDGE, catalog_of, document, member

NOW = datetime(2026, 8, 1, tzinfo=UTC)


@dataclass
class Fixture:
    """Workers whose cycles only note their gateway and why; `fails` makes them fail."""

    fleet: Fleet = field(default_factory=Fleet)
    cycles: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    fails: bool = False

    def __post_init__(self) -> None:
        queue = DirtyQueue()
        scheduler = Scheduler(queue)
        self.registered = RegisteredGateways(lambda: (one.registration for one in self.fleet))
        self.workers = WorkerPool(self.work, queue, scheduler, lambda: NOW)
        self.assignment = GatewayAssignment(
            self.registered, StatusRegistry(lambda: NOW), self.workers, queue, self.close
        )

    async def work(self, name: str, why: tuple[str, ...]) -> CycleResult:
        self.cycles.append((name, why))
        return CycleResult(Report(Plan(name, "stoa", "main@1")), is_ok=not self.fails)

    async def close(self, name: str) -> None:
        self.closed.append(name)

    def register(self, host: str) -> str:
        made = member(host)
        self.fleet.register(made, 0.0, NOW)
        self.assignment.note_change()
        self.assignment.note_start(made.id)
        return made.id

    async def has_run(self, *expected: tuple[str, str]) -> None:
        """Wait until these gateways had a cycle for these reasons, in any order."""

        async def look() -> bool | None:
            seen = {(name, reason) for name, why in self.cycles for reason in why}
            return True if seen.issuperset(expected) else None

        await until(look, f"cycles of {expected}")


@pytest.fixture
async def one() -> AsyncIterator[Fixture]:
    made = Fixture()
    follower = asyncio.create_task(made.assignment.follow())
    yield made
    follower.cancel()
    await asyncio.gather(follower, return_exceptions=True)
    await made.workers.stop(1.0)
    await made.assignment.finish()


async def test_gateways_that_were_there_before_the_catalog_are_bound_by_it(one: Fixture) -> None:
    one.register("a")
    one.assignment.take_catalog(catalog_of(document("edge", EDGE)))
    await one.has_run(("edge/a-edgemcp-prod", "catalog changed"))


async def test_one_that_registers_later_has_its_cycle(one: Fixture) -> None:
    one.assignment.take_catalog(catalog_of(document("edge", EDGE)))
    for host in ("a", "b", "c"):
        one.register(host)
    await one.has_run(*((f"edge/{host}-edgemcp-prod", REGISTERED) for host in ("a", "b", "c")))


async def test_one_that_restarts_waits_for_no_back_off(one: Fixture) -> None:
    one.fails = True
    gateway_id = one.register("a")
    one.assignment.take_catalog(catalog_of(document("edge", EDGE)))
    await one.has_run(("edge/a-edgemcp-prod", "catalog changed"))
    one.cycles.clear()
    one.assignment.note_start(gateway_id)
    await one.has_run(("edge/a-edgemcp-prod", REGISTERED))


async def test_one_that_is_forgotten_has_no_worker_and_no_connection(one: Fixture) -> None:
    gateway_id = one.register("a")
    one.assignment.take_catalog(catalog_of(document("edge", EDGE)))
    await one.has_run(("edge/a-edgemcp-prod", "catalog changed"))
    one.fleet.forget(gateway_id)
    one.assignment.note_change()

    async def look() -> bool | None:
        return True if one.closed else None

    await until(look, "the end of its worker")
    assert one.closed == ["edge/a-edgemcp-prod"]
    assert one.registered.find(gateway_id) is None


async def test_a_gateway_without_a_document_has_no_worker(one: Fixture) -> None:
    one.register("a")
    one.assignment.take_catalog(catalog_of())
    one.register("b")
    one.assignment.take_catalog(catalog_of(document("edge", EDGE)))
    await one.has_run(("edge/a-edgemcp-prod", "catalog changed"))
    assert all(name.startswith("edge/") for name, _ in one.cycles)


async def test_while_others_register_a_binding_waits_but_not_for_ever() -> None:
    one, sizes, pauses = Fixture(), [], 0

    async def pause(_: float) -> None:
        nonlocal pauses
        await asyncio.sleep(0)
        pauses += 1
        if pauses <= 2 * MOST_PAUSES + 4:
            one.register(f"host-{pauses}")

    def registrations() -> Iterator[Registration]:
        sizes.append(len(one.fleet))
        return (member.registration for member in one.fleet)

    one.assignment.pause = pause
    one.assignment.registered = RegisteredGateways(registrations)
    one.assignment.take_catalog(catalog_of(document("edge", EDGE)))
    one.register("first")
    follower = asyncio.create_task(one.assignment.follow())
    last = f"edge/host-{2 * MOST_PAUSES + 4}-edgemcp-prod"
    await one.has_run((last, REGISTERED))
    follower.cancel()
    await asyncio.gather(follower, return_exceptions=True)
    await one.workers.stop(1.0)
    assert sizes == [0, 1, 1 + MOST_PAUSES, 1 + 2 * MOST_PAUSES, 5 + 2 * MOST_PAUSES]
