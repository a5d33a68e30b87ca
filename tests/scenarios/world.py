"""State in, one cycle, state out: a real store, a gateway in memory with faults, a fake clock."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stoa_gitops.adapters.memory.server import (
    MemoryGateway,
    StoredObject,
    drop_gateway,
    gateway_named,
)
from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance, PruneBudget
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import DesiredState, PlanHints, Resource, SourceRef
from stoa_gitops.operations.reconcile import reconcile_gateway
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.queue import INTERVAL, DirtyQueue
from stoa_gitops.reconcile.session import Assignment, scope_of
from stoa_gitops.reconcile.worker import Worker
from stoa_gitops.store import Quarantined

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANCE = GatewayInstance(
    "kong",
    "memory",
    "dev",
    "memory://kong",
    SourceRef("gateways/kong.yaml"),
    prune=PruneBudget(max_percent=None),
)


class Clock:
    """A wall clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class Agenda:
    """Notes the looks that a worker asks for, as the scheduler would."""

    def __init__(self) -> None:
        self.due: dict[str, datetime] = {}

    def schedule(self, gateway: str, when: datetime, why: str) -> None:
        self.due[why] = when


def api(
    name: str, tenant: str = "acme", depends_on: Iterable[Key] = (), **spec: object
) -> Resource:
    key = Key("api", tenant, name)
    tree: JsonObject = {"displayName": name, **spec}  # type: ignore[dict-item]
    source = SourceRef(f"tenants/{tenant}/apis/{name}/api.yaml", 1, 1)
    return Resource(key, Spec.of(tree), source, PlanHints(depends_on=tuple(depends_on)))


@dataclass
class World:
    """One gateway and who keeps it. `begin` is a new process on the same state folder."""

    folder: Path
    gateway: MemoryGateway
    clock: Clock
    instance: GatewayInstance = INSTANCE
    owner: str = "default"
    resources: dict[Key, Resource] = field(default_factory=dict)
    broken: BrokenScope = field(default_factory=BrokenScope)
    revision: str = "main@0000001"
    workspace: Workspace = field(init=False)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[World]:
        async with Workspace.open(self.folder, clock=self.clock) as workspace:
            self.workspace = workspace
            yield self

    def want(self, *resources: Resource) -> None:
        """Commit a revision that asks for these and nothing else."""
        self.resources = {resource.key: resource for resource in resources}
        self.revision = f"main@{int(self.revision[-7:]) + 1:07d}"

    @property
    def assignment(self) -> Assignment:
        desired = DesiredState(self.instance.name, self.owner, self.revision, self.resources)
        return Assignment(self.instance, desired, self.broken)

    async def cycle(self) -> CycleResult:
        """Run one cycle as a worker does."""
        assignment = self.assignment
        catalog = Catalog(
            self.owner,
            self.revision,
            None,
            (self.instance,),
            {self.instance.name: assignment.desired},
            ("acme",),
        )
        return await reconcile_gateway(self.workspace, catalog, assignment)

    async def converged(self) -> None:
        """Cycle until nothing is left to do; three are always enough."""
        for _ in range(3):
            result = await self.cycle()
            if result.report.is_converged and not result.report.outcomes:
                return
        raise AssertionError(result.report)

    def worker(self, queue: DirtyQueue, agenda: Agenda) -> tuple[Worker, list[CycleResult]]:
        """Return a worker of this gateway with fixed dice, and the results of its cycles."""
        results: list[CycleResult] = []

        async def work(_: str, __: tuple[str, ...]) -> CycleResult:
            results.append(await self.cycle())
            return results[-1]

        worker = Worker(self.instance.name, work, queue, agenda, self.clock)  # type: ignore[arg-type]
        worker._backoff.dice = random.Random(7)
        return worker, results

    async def pass_time(
        self, hours: float, worker: Worker, queue: DirtyQueue, agenda: Agenda
    ) -> None:
        """Let hours pass in a moment: an interval each minute, and the checks of the worker."""
        end = self.clock.now + timedelta(hours=hours)
        tick = self.clock.now + timedelta(seconds=60)
        while self.clock.now < end:
            why, when = min([(INTERVAL, tick), *agenda.due.items()], key=lambda item: item[1])
            self.clock.now = max(when, self.clock.now)
            if why == INTERVAL:
                tick += timedelta(seconds=60)
            else:
                del agenda.due[why]
            queue.request(self.instance.name, why)
            await worker.step()

    # looking

    def held(self) -> dict[str, JsonObject]:
        """What our marks are on, by key."""
        return {
            str(h.key): h.spec.value for h in self.gateway.objects.values() if h.mark == self.owner
        }

    def wanted(self) -> dict[str, JsonObject]:
        return {str(key): resource.spec.value for key, resource in self.resources.items()}

    def foreign(self) -> dict[str, StoredObject]:
        return {i: held for i, held in self.gateway.objects.items() if held.mark is None}

    def identifier(self, key: Key) -> str:
        return key.identifier(self.owner)

    async def quarantined(self) -> dict[Key, Quarantined]:
        known = await self.workspace.context.store.read_state(scope_of(self.assignment))
        return dict(known.quarantined)

    async def inventory(self) -> set[str]:
        records = await self.workspace.context.store.load_records(scope_of(self.assignment))
        return {str(key) for key in records}


@asynccontextmanager
async def world(folder: Path, *resources: Resource, **instance: object) -> AsyncIterator[World]:
    """A world that asks for these resources, with a gateway of its own."""
    name = str(folder)
    options = {"state": name, **instance.pop("options", {})}  # type: ignore[dict-item]
    made = World(
        folder / "state",
        gateway_named(name),
        Clock(),
        replace(INSTANCE, options=options, **instance),  # type: ignore[arg-type]
    )
    made.want(*resources)
    try:
        async with made.begin():
            yield made
    finally:
        drop_gateway(name)


def statuses(result: CycleResult) -> dict[str, Status]:
    return {str(outcome.change.key): outcome.status for outcome in result.report.outcomes}


def writes(gateway: MemoryGateway) -> int:
    """How often the gateway was written to."""
    return sum(gateway.calls.get(name, 0) for name in ("put", "delete", "write"))
