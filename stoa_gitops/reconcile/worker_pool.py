"""Starts and stops one worker per gateway of the catalog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.queue import CATALOG, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from stoa_gitops.reconcile.worker import Worker

log = logging.getLogger(__name__)

Work = Callable[[str, tuple[str, ...]], Awaitable[CycleResult | None]]
"""`work(gateway, why)` runs one cycle."""


class WorkerPool:
    """All workers of a process; used in the thread of the event loop only."""

    def __init__(
        self, work: Work, queue: DirtyQueue, scheduler: Scheduler, clock: Callable[[], datetime]
    ) -> None:
        self._work = work
        self._queue = queue
        self._scheduler = scheduler
        self._clock = clock
        self._workers: dict[str, Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, _Assigned] = {}

    def assign(
        self, catalog: Catalog, chosen: tuple[GatewayInstance, ...], interval: float | None
    ) -> list[str]:
        """Start and stop workers for these gateways, and mark those that a reading changed.

        `interval` in seconds overrides that of the gateways. Returns the gateways whose documents
        are gone. Their objects are left in place: removing them is up to a person (`gateways
        prune`).
        """
        gone = sorted(self._workers.keys() - {instance.name for instance in chosen})
        for name in gone:
            if "/" in name:
                log.info("%s is no longer one of its document's gateways", name)
            else:
                log.warning("%s was removed from the catalog; its objects are left in place", name)
            self._workers.pop(name).stop()
            self._known.pop(name, None)
            self._queue.remove_gateway(name)
            self._scheduler.remove_gateway(name)
        for instance in chosen:
            if instance.name not in self._workers:
                self._start(instance.name)
            self._scheduler.set_interval(instance.name, interval or instance.interval)
            new, before = _Assigned.of(catalog, instance), self._known.get(instance.name)
            self._known[instance.name] = new
            # Equal resources of a new revision need no cycle: only lines and commits differ.
            if before is None or not new.is_equal(before):
                self._queue.request(instance.name, CATALOG)
        return gone

    def mark_all(self, why: str) -> None:
        """Mark every gateway dirty."""
        for name in self._workers:
            self._queue.request(name, why)

    async def stop(self, seconds: float) -> None:
        """Let running cycles finish within the bound, then cancel them."""
        for worker in self._workers.values():
            worker.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, name: str) -> None:
        async def work(why: tuple[str, ...]) -> CycleResult | None:
            return await self._work(name, why)

        worker = Worker(name, work, self._queue, self._scheduler, self._clock)
        task = asyncio.create_task(_run_after(worker, self._last.get(name)), name=f"worker:{name}")
        self._workers[name], self._last[name] = worker, task
        self._tasks.add(task)
        # Held strongly until done: the loop keeps only weak references to tasks.
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        for name in [name for name, last in self._last.items() if last is task]:
            del self._last[name]


async def _run_after(worker: Worker, before: asyncio.Task[None] | None) -> None:
    """Run a worker once the one before has ended: a gateway has one worker at a time."""
    if before is not None:
        await asyncio.wait({before})
    await worker.run()


@dataclass(frozen=True, slots=True, eq=False)
class _Assigned:
    """What a change of which makes a cycle necessary: not the commit, not line numbers."""

    instance: GatewayInstance
    broken: tuple[frozenset[str], bool]
    resources: Mapping[Key, Resource]
    may_be_empty: frozenset[str]

    @classmethod
    def of(cls, catalog: Catalog, instance: GatewayInstance) -> _Assigned:
        broken = catalog.broken_tenants, catalog.is_all_broken
        desired = catalog.desired[instance.name]
        return cls(instance, broken, desired.resources, desired.may_be_empty)

    def is_equal(self, other: _Assigned) -> bool:
        if (self.instance, self.broken) != (other.instance, other.broken):
            return False
        if self.may_be_empty != other.may_be_empty:
            return False
        ours, theirs = self.resources, other.resources
        if ours is theirs:
            return True
        return ours.keys() == theirs.keys() and all(
            resource is theirs[key] or _is_equal_content(resource, theirs[key])
            for key, resource in ours.items()
        )


def _is_equal_content(one: Resource, other: Resource) -> bool:
    """Whether two resources are equal but for their position in the catalog."""
    return one.spec == other.spec and one.hints == other.hints
