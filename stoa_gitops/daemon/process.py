"""The long-running process: builds its parts, runs them in one task group, and takes them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

from stoa_gitops.catalog import Reader, Source
from stoa_gitops.control.app import Desk, build
from stoa_gitops.control.metrics import Metrics
from stoa_gitops.daemon import control_token, runtime
from stoa_gitops.daemon.embedded import EmbeddedGateway
from stoa_gitops.daemon.listening import Address, ControlListener
from stoa_gitops.daemon.operations import ProcessOperations
from stoa_gitops.daemon.workshop import Workshop, now
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.outcomes import Report
from stoa_gitops.model.secret import Secret
from stoa_gitops.planning import Withheld
from stoa_gitops.reconcile.catalogs import CatalogKeeper
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.queue import DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from stoa_gitops.reconcile.selection import Selection
from stoa_gitops.reconcile.session import Assignment
from stoa_gitops.reconcile.status import StatusBoard
from stoa_gitops.reconcile.worker import Worker

log = logging.getLogger(__name__)

CATALOG_INTERVAL = 60.0
"""Seconds between two full looks at the catalog when `--interval` says nothing."""

DRAIN_SECONDS = 10.0
"""How long running cycles may go on after SIGTERM."""


class Presenter(Protocol):
    """Shows people what the process does; the command line implements it."""

    def catalog(self, catalog: Catalog) -> None:
        """Show what a reading of the catalog found."""

    def cycle(self, report: Report) -> None:
        """Show what a cycle did."""

    def listening(self, control: str, gateway: str, catalog: Catalog) -> None:
        """Show where the process listens, once everything is up."""


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """What `run` was asked for; times are in seconds, `interval` None takes each gateway's own."""

    state: Path
    control: Address
    gateway: Address
    environment: str | None = None
    interval: float | None = None
    poll: float = 30.0
    is_once: bool = False
    control_token: Secret | None = None
    webhook_secret: Secret | None = None


@dataclass
class Process:
    """One process; `run` may be called once."""

    options: ProcessOptions
    source: Source
    reader: Reader
    presenter: Presenter
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _signal: int = 0

    async def run(self) -> int:
        """Work until a signal; return the number of the signal, 0 for an end of its own.

        Raises StoaGitopsError for what keeps it from starting.
        """
        async with Workshop.open(self.options.state) as workshop:
            self._prepare(workshop)
            with self._signals():
                async with self._serving():
                    await self._work()
        return self._signal

    @property
    def has_converged(self) -> bool:
        """Whether every gateway's last cycle left it as the catalog says."""
        return self._board.has_worked() and self._board.is_well()

    def _prepare(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._queue = DirtyQueue()
        self._board = StatusBoard(now, self._queue.ages)
        self._scheduler = Scheduler(self._queue)
        self._workers: dict[str, Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[str, object] = {}
        address = self.options.gateway
        self._embedded = EmbeddedGateway(address.host, address.port)
        self._token = control_token.kept(self.options.state, self.options.control_token)
        self._keeper = CatalogKeeper(
            self.source,
            self.reader,
            self._published,
            poll=self.options.poll,
            interval=self.options.interval or CATALOG_INTERVAL,
        )
        self._operations = ProcessOperations(workshop, self._board, self._queue, self._keeper)
        self._control_url = ""

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped_by, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stopped_by(self, number: int) -> None:
        self._signal = number
        self._stop.set()

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Listen, and take everything down in the order in which nobody is cut off."""
        desk = Desk(
            self._operations, Metrics(self._board.metrics), now, self.options.webhook_secret
        )
        control = ControlListener(build(desk, token=self._token), self.options.control)
        self._control_url = await control.start()
        following = asyncio.create_task(self._operations.follow())
        self._write_runtime()
        self._scheduler.start()
        try:
            yield
        finally:
            self._scheduler.stop()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self._end_workers()
            runtime.remove(self.options.state)
            await self._embedded.stop()
            await control.stop()

    async def _work(self) -> None:
        """Read the catalog, work every gateway once, then follow changes until told to stop.

        Watching begins before the first reading, so that no edit falls between the two.
        """
        watching = asyncio.create_task(self._keeper.watch(self._stop))
        try:
            catalog = await self._keeper.load()
            for instance in self._board.gateways:
                if (
                    instance.is_embedded
                ):  # an address that cannot be had ends the start, not a cycle
                    await self._serve_embedded(instance)
            await self._first_cycles()
            if self._stop.is_set() or self.options.is_once:
                return
            self.presenter.listening(self._control_url, self._embedded.base_url, catalog)
            await self._stop.wait()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _first_cycles(self) -> None:
        """Wait until every gateway had a cycle, or until told to stop."""
        waiting = asyncio.create_task(self._until_worked())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, stopping):
            task.cancel()
        await asyncio.gather(waiting, stopping, return_exceptions=True)

    async def _until_worked(self) -> None:
        while not self._board.has_worked():
            await self._board.changed.wait()

    def _published(self, catalog: Catalog) -> None:
        """Mark what a new reading changed; nothing is worked here."""
        chosen = Selection(environment=self.options.environment).of(catalog)
        self._board.publish(catalog, chosen)
        self.presenter.catalog(catalog)
        names = {instance.name for instance in chosen}
        for name in self._workers.keys() - names:
            self._dismiss(name)
        for instance in chosen:
            if instance.name not in self._workers:
                self._hire(instance.name)
            self._scheduler.every(instance.name, self.options.interval or instance.interval)
            new = _asked(catalog, instance)
            if self._known.get(instance.name) != new:
                self._known[instance.name] = new
                self._queue.request(instance.name, "catalog changed")

    def _hire(self, name: str) -> None:
        async def work(why: tuple[str, ...]) -> CycleResult | None:
            return await self._cycle(name, why)

        worker = Worker(name, work, self._queue, self._scheduler, now)
        task = asyncio.create_task(worker.run(), name=f"worker:{name}")
        self._workers[name] = worker
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _dismiss(self, name: str) -> None:
        """Stop working a gateway whose document is gone. Its objects stay: removing is for a person."""
        log.warning("%s is no longer in the catalog: what it has is left as it is", name)
        self._workers.pop(name).retire()
        self._known.pop(name, None)
        self._queue.forget(name)
        self._scheduler.forget(name)
        self._board.forget(name)

    async def _cycle(self, name: str, why: tuple[str, ...]) -> CycleResult | None:
        catalog = self._keeper.catalog
        instance = catalog.gateway(name) if catalog else None
        if catalog is None or instance is None:
            return None
        log.debug("%s: cycle (%s)", name, ", ".join(why))
        if instance.is_embedded:
            await self._serve_embedded(instance)
        assignment = Assignment(instance, catalog.desired[name], Withheld.of(catalog))
        began = monotonic()
        result = await self._workshop.cycle(catalog, assignment)
        self._board.note(name, result, monotonic() - began)
        self.presenter.cycle(result.report)
        return result

    async def _serve_embedded(self, instance: GatewayInstance) -> None:
        before = self._embedded.base_url
        await self._embedded.serve(instance)
        if before != self._embedded.base_url:
            self._write_runtime()

    def _write_runtime(self) -> None:
        runtime.write(
            self.options.state,
            runtime.Runtime(
                os.getpid(),
                self._control_url,
                self._embedded.base_url,
                self._token.reveal(),
                self._embedded.token,
            ),
        )

    async def _end_workers(self) -> None:
        """Let running cycles finish within the bound, then cancel them."""
        for worker in self._workers.values():
            worker.retire()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _asked(catalog: Catalog, instance: GatewayInstance) -> object:
    """Return what has to change for a gateway to be looked at: not the commit, not the lines."""
    desired = catalog.desired[instance.name].resources
    contents = {key: (item.spec, item.handling) for key, item in desired.items()}
    return instance, contents, catalog.broken_tenants, catalog.is_all_broken
