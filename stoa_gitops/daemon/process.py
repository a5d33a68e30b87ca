"""The long-running process: builds its parts, runs them in one task group, and takes them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic

from stoa_gitops.catalog import Reader, Source
from stoa_gitops.catalog.sources.git import processes as children
from stoa_gitops.control.app import build
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.metrics import Metrics
from stoa_gitops.daemon import control_credentials as access
from stoa_gitops.daemon.control_credentials import ControlCredentials
from stoa_gitops.daemon.control_operations import ProcessOperations
from stoa_gitops.daemon.embedded import EmbeddedGateway
from stoa_gitops.daemon.listeners import Address, ControlListener
from stoa_gitops.daemon.presenter import Presenter, SafePresenter
from stoa_gitops.daemon.shutdown import exit_now, kill_after, run_unless_stopped
from stoa_gitops.daemon.supervisor import BackgroundFailed, Supervisor
from stoa_gitops.errors import CatalogError, StoaGitopsError, StoreError, message_of
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.operations.plan import failed_plan
from stoa_gitops.operations.reconcile import reconcile_gateway
from stoa_gitops.operations.store_choice import now
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile.catalog_watcher import CatalogWatcher
from stoa_gitops.reconcile.conditions import CATALOG as CATALOG_SUBJECT
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood, fill_from_last_good
from stoa_gitops.reconcile.log_context import log_result
from stoa_gitops.reconcile.loop_monitor import LoopMonitor
from stoa_gitops.reconcile.queue import CLOCK, SETTINGS, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from stoa_gitops.reconcile.selection import Selection
from stoa_gitops.reconcile.session import Assignment
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.reconcile.worker_pool import WorkerPool
from stoa_gitops.state_folder import last_good_file as last_good
from stoa_gitops.state_folder import lock as state_lock
from stoa_gitops.state_folder import runtime_file as runtime

log = logging.getLogger(__name__)

CATALOG_INTERVAL = 60.0
"""Seconds between two full looks at the catalog when `--interval` says nothing."""

READ_AGAIN = "the files that gateways and the catalog name for secrets, and the catalog"
"""What SIGHUP has read again beside the credentials of the control listener: by the cycles that it asks for."""

DRAIN_SECONDS = 10.0
"""How long running cycles may go on after SIGTERM."""

END_SECONDS = 25.0
"""How long everything may take after SIGTERM: then the process ends by force, which loses nothing."""


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """What `run` was asked for; times are in seconds, `interval` None takes each gateway's own.

    `access` is asked at the start and at each SIGHUP; it raises UsageError for what makes no sense.
    """

    state: Path
    control: Address
    gateway: Address
    environment: str | None = None
    interval: float | None = None
    poll: float = 30.0
    is_once: bool = False
    access: Callable[[], ControlCredentials] = ControlCredentials


@dataclass
class Process:
    """One process; `run` may be called once."""

    options: ProcessOptions
    source: Source
    reader: Reader
    presenter: Presenter
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _signal: int = 0
    _given_up: str = ""
    _announced: runtime.Runtime | None = None

    async def run(self) -> int:
        """Work until a signal; return the number of the signal, 0 for an end of its own.

        Raises StoaGitopsError for what keeps it from starting, and BackgroundFailed.
        """
        with state_lock.held(self.options.state):
            async with Workspace.open(self.options.state) as workspace:
                self._prepare(workspace)
                with self._signals():
                    async with self._serving():
                        await self._work()
        if self._given_up:
            message = "kept failing, so the process shut down; its log says why"
            raise BackgroundFailed(f"{self._given_up} {message}")
        return self._signal

    @property
    def has_converged(self) -> bool:
        """Whether every gateway's last cycle left it as the catalog says."""
        return self._board.has_worked() and self._board.is_well()

    def _prepare(self, workspace: Workspace) -> None:
        self._workspace = workspace
        workspace.running = self._runtime
        workspace.inside = lambda: self._embedded.inside
        self._queue = DirtyQueue()
        self._board = StatusRegistry(now, self._queue.ages)
        self._scheduler = Scheduler(self._queue)
        self._crew = WorkerPool(self._cycle, self._queue, self._scheduler, now)
        self._background = Supervisor(self._gave_up)
        self._shown = SafePresenter(self.presenter)
        self._pulse = LoopMonitor(now, self._board.counters.lags.append, self._stepped)
        self._restored: set[str] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._last_good = last_good.read(self.options.state)
        address = self.options.gateway
        self._embedded = EmbeddedGateway(address.host, address.port, self._board.has_served)
        self._credentials = self.options.access().credentials(self.options.state)
        self._keeper = CatalogWatcher(
            self.source,
            self.reader,
            self._published,
            poll=self.options.poll,
            interval=self.options.interval or CATALOG_INTERVAL,
            failed=self._board.unreadable,
            complete=lambda catalog: fill_from_last_good(catalog, self._last_good),
        )
        self._board.content = self._keeper.content
        self._operations = ProcessOperations(
            workspace, self._board, self._queue, self._keeper, lambda: self._background.down
        )
        self._control_url = ""

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped_by, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _stopped_by(self, number: int) -> None:
        if self._signal:
            log.warning("received a second signal; exiting immediately")
            exit_now(128 + number)
        self._signal = number
        if not self._stop.is_set():
            self._end()

    def _gave_up(self, task: str) -> None:
        """End: without that task the process would only look alive."""
        self._given_up = task
        self._end()

    def _end(self) -> None:
        self._background.let_end()
        self._stop.set()
        kill_after(END_SECONDS)

    def _reload(self) -> None:
        """Read again what can change while a process runs; flags and the environment cannot."""
        again = READ_AGAIN
        try:
            new = self.options.access().credentials(self.options.state)
            again = f"{access.replace(self._credentials, new)}, {again}"
            self._announce()
        except StoaGitopsError as error:
            log.warning("SIGHUP: control token and webhook secret stay as they were: %s", error)
        log.info("SIGHUP: read again: %s", again)
        self._operations.request_catalog_reload("SIGHUP")
        self._crew.mark_all(SETTINGS)

    def _stepped(self, _: timedelta) -> None:
        """Plan anew what was planned by a clock that has moved since."""
        self._scheduler.begin_again()
        self._crew.mark_all(CLOCK)

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Listen, and take everything down in the order in which nobody is cut off."""
        api_context = ApiContext(
            self._operations, Metrics(self._board.metrics), now, self._credentials
        )
        control = ControlListener(build(api_context), self.options.control)
        self._control_url = await control.start()
        self._background.start("reading the catalog on request", self._operations.follow)
        self._background.start("measuring the event loop", self._pulse.run)
        self._write_runtime()
        self._scheduler.start()
        try:
            yield
        finally:
            self._scheduler.stop()
            await self._background.end()
            children.end_all()
            await self._crew.end(DRAIN_SECONDS)
            await asyncio.gather(*self._leaving, return_exceptions=True)
            await self._save_conditions()
            runtime.remove(self.options.state)
            await self._embedded.stop()
            await control.stop()

    async def _work(self) -> None:
        """Read the catalog, work every gateway once, then follow changes until told to stop.

        Watching begins before the first reading, so that no edit falls between the two.
        """
        self._background.start("watching the catalog", lambda: self._keeper.watch(self._stop))
        await self._restore(CATALOG_SUBJECT)
        await run_unless_stopped(self._stop, self._first_reading())
        for instance in self._board.gateways:
            if instance.is_embedded:  # an address that cannot be had ends the start, not a cycle
                await self._embedded.serve(instance)
        await run_unless_stopped(self._stop, self._until_worked())
        catalog = self._board.catalog
        if self._stop.is_set() or self.options.is_once or catalog is None:
            return
        self._shown.listening(self._control_url, self._embedded.base_url, catalog)
        await self._stop.wait()

    async def _first_reading(self) -> None:
        """Read the catalog; where that is not possible, go on with what was live when the store knows it.

        Raises CatalogError where there is nothing to go on with, and for `--once`, which does not wait.
        """
        try:
            await self._keeper.load()
        except CatalogError as error:
            if self._last_good is None or self.options.is_once:
                raise
            message = (
                "the catalog cannot be read; what was applied last stays in force until it can: %s"
            )
            log.warning(message, error)
            if self._keeper.catalog is None:
                self._keeper.stand_in(self._last_good.catalog())

    async def _until_worked(self) -> None:
        while not self._board.has_worked():
            await self._board.changed.wait()

    def _published(self, catalog: Catalog) -> None:
        """Mark what a new reading changed; nothing is worked here."""
        chosen = Selection(environment=self.options.environment).of(catalog)
        self._board.publish(catalog, chosen)
        for name in self._crew.assign(catalog, chosen, self.options.interval):
            self._board.forget(name)
            self._restored.discard(name)
            leaving = asyncio.create_task(self._workspace.close_gateway(name))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        last = LastKnownGood.of(catalog)
        if last is not None and last != self._last_good:
            self._last_good = last
            last_good.write(self.options.state, last)
        self._shown.catalog(catalog)

    async def _cycle(self, name: str, why: tuple[str, ...]) -> CycleResult | None:
        catalog = self._keeper.catalog
        instance = catalog.gateway(name) if catalog else None
        if catalog is None or instance is None:
            return None
        assignment = Assignment(instance, catalog.desired[name], BrokenScope.of(catalog))
        log.debug("%s: cycle (%s)", name, ", ".join(why))
        began = monotonic()
        try:
            result = await self._worked(catalog, assignment)
        except Exception as error:
            plan = failed_plan(assignment, message_of(error))
            self._board.fail(plan, error, monotonic() - began)
            raise
        self._board.note(name, result, monotonic() - began)
        log_result(result)
        self._shown.cycle(result.report)
        await self._save_conditions()
        return result

    async def _worked(self, catalog: Catalog, assignment: Assignment) -> CycleResult:
        await self._restore(assignment.instance.name)
        if assignment.instance.is_embedded:
            await self._embedded.serve(assignment.instance)
        self._announce()
        return await reconcile_gateway(self._workspace, catalog, assignment)

    async def _restore(self, subject: str) -> None:
        """Take over the conditions of an earlier process, with their times."""
        if subject not in self._restored:
            known = await self._workspace.context.store.load_conditions(subject)
            self._board.restore(subject, known)
            self._restored.add(subject)

    async def _save_conditions(self) -> None:
        """Write down conditions that moved; a store that cannot be written has stopped the cycle already."""
        for subject, moved in self._board.take_unsaved().items():
            try:
                await self._workspace.context.store.save_conditions(subject, moved)
            except StoreError as error:
                self._board.keep_unsaved(subject, moved)
                log.warning("conditions of %s are not stored: %s", subject, error)

    def _announce(self) -> None:
        """Tell other processes what has changed of how this one is reached; where that fails, each cycle tries again."""
        try:
            self._write_runtime()
        except StoreError as error:
            log.warning("other commands may not reach this process: %s", error)

    def _write_runtime(self) -> None:
        """Write down how this process is reached, unless that stands there already; raises StoreError."""
        known = self._runtime()
        if known != self._announced:
            runtime.write(self.options.state, known)
            self._announced = known

    def _runtime(self) -> runtime.Runtime:
        return runtime.Runtime(
            os.getpid(),
            self._control_url,
            self._embedded.base_url,
            self._credentials.token.reveal(),
            self._embedded.token,
        )
