"""Starts and stops one worker per gateway of the catalog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource
from stoa_gitops.reconcile.queue import CATALOG, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from stoa_gitops.reconcile.worker import RunCycle, Worker

log = logging.getLogger(__name__)

SETTLES_WITHIN: Final = 2.0
"""Seconds that a gateway waits at most which asks while a cycle of its own is due: below the 3 s
after which anybody takes a control plane for absent, and the 15 s of STOA gateway 0.9.25."""

MOST_COMPUTING: Final = 8
"""Cycles at once of gateways that are held in this process: they wait for its store at most, so
more of them are not done sooner, and those of a thousand that register at once fill the memory."""


class WorkerPool:
    """All workers of a process; used in the thread of the event loop only.

    A task runs while its gateway has cycles to run: a thousand that have none cost a few values
    each.
    """

    def __init__(
        self,
        run_cycle: RunCycle,
        queue: DirtyQueue,
        scheduler: Scheduler,
        clock: Callable[[], datetime],
    ) -> None:
        self._run_cycle = run_cycle
        self._queue = queue
        self._scheduler = scheduler
        self._clock = clock
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, _Assigned] = {}
        self._computing: set[str] = set()
        # In the order in which they turned dirty; those that somebody waits for come first.
        self._waiting: dict[str, None] = {}
        self._awaited: dict[str, asyncio.Future[None]] = {}
        # Whoever marks a gateway has a context of its own, as the cycle of another one.
        self._context = copy_context()
        queue.on_dirty = self._wake

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
            self._release(name)
            self._known.pop(name, None)
            self._queue.remove_gateway(name)
            self._scheduler.remove_gateway(name)
        for instance in chosen:
            if instance.name not in self._workers:
                self._workers[instance.name] = Worker(
                    instance.name, self._run_cycle, self._queue, self._scheduler, self._clock
                )
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

    async def settle(self, name: str) -> None:
        """Wait until no cycle of a gateway runs or is due, for SETTLES_WITHIN at most.

        It comes before those that nobody waits for. A failed one that is tried again later is not
        due.
        """
        if name not in self._workers or not (name in self._tasks or self._queue.is_dirty(name)):
            return
        end = self._awaited.get(name)
        if end is None:
            end = self._awaited[name] = asyncio.get_running_loop().create_future()
        # `wait` leaves it to the others that wait for it, whoever of them is cancelled.
        await asyncio.wait([end], timeout=SETTLES_WITHIN)

    async def stop(self, seconds: float) -> None:
        """Let running cycles finish within the bound, then cancel them."""
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()
        for name in tuple(self._awaited):
            self._release(name)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _wake(self, name: str) -> None:
        """Have a gateway's cycles run, unless they do: one that came back has one task, too."""
        worker = self._workers.get(name)
        if worker is None or name in self._tasks:
            return
        if self._known[name].instance.is_pulling:
            if len(self._computing) >= MOST_COMPUTING:
                self._waiting[name] = None
                return
            self._computing.add(name)
        task = asyncio.create_task(
            worker.run(), name=f"worker:{name}", context=self._context.copy()
        )
        # Held strongly until done: the loop keeps only weak references to tasks.
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._ended(name))

    def _ended(self, name: str) -> None:
        del self._tasks[name]
        self._computing.discard(name)
        while self._waiting and len(self._computing) < MOST_COMPUTING:
            awaited = (one for one in self._awaited if one in self._waiting)
            first = next(awaited, None) or next(iter(self._waiting))
            del self._waiting[first]
            self._wake(first)
        # Marked again at the very end, or by a worker that came in the place of this one.
        if self._queue.is_dirty(name):
            self._wake(name)
        else:
            self._release(name)

    def _release(self, name: str) -> None:
        """Let go on who waited for a gateway's cycles."""
        end = self._awaited.pop(name, None)
        if end is not None:
            end.set_result(None)


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
