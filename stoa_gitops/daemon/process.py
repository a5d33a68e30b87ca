"""The long-running process: builds its parts, runs them, and shuts them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic

from stoa_proxy.config import ProxyConfig

from stoa_gitops.catalog import Reader, Source
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.git import processes as children
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.metrics import Metrics
from stoa_gitops.daemon.control_credentials import ControlCredentials, replace_credentials
from stoa_gitops.daemon.control_operations import ProcessOperations
from stoa_gitops.daemon.embedded import EmbeddedGateway
from stoa_gitops.daemon.fleet_parts import FleetParts
from stoa_gitops.daemon.gateway_keys import KeySettings, LiveKeys
from stoa_gitops.daemon.gateway_usage import GatewayUsage
from stoa_gitops.daemon.listeners import Address, ControlBounds, ControlListeners
from stoa_gitops.daemon.presenter import Presenter, SafePresenter
from stoa_gitops.daemon.runtime_publisher import RuntimePublisher
from stoa_gitops.daemon.shutdown import kill_after, run_unless_stopped
from stoa_gitops.daemon.signals import Signals
from stoa_gitops.daemon.stored_conditions import StoredConditions
from stoa_gitops.daemon.supervisor import BackgroundFailed, Supervisor
from stoa_gitops.errors import CatalogError, StoaGitopsError, message_of
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.operations.plan import failed_plan
from stoa_gitops.operations.reconcile import reconcile_gateway
from stoa_gitops.operations.reload_routes import have_routes_fetched
from stoa_gitops.operations.store_choice import now, open_usage_ledger
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile.catalog_watcher import CatalogWatcher, walk_interval
from stoa_gitops.reconcile.conditions import CATALOG as CATALOG_SUBJECT
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood, fill_from_last_good
from stoa_gitops.reconcile.log_context import log_result
from stoa_gitops.reconcile.loop_monitor import LoopMonitor
from stoa_gitops.reconcile.metrics import Metric
from stoa_gitops.reconcile.queue import CLOCK, INTERVAL, SETTINGS, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from stoa_gitops.reconcile.session import Assignment
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.reconcile.worker_pool import WorkerPool
from stoa_gitops.state_folder import last_good_file as last_good
from stoa_gitops.state_folder import lock as state_lock
from stoa_gitops.state_folder import runtime_file as runtime

log = logging.getLogger(__name__)

RELOADED = "the files that gateways and the catalog name for secrets, and the catalog"
"""What SIGHUP reloads beside the control credentials, for the log: the cycles it requests do so."""

DRAIN_SECONDS = 10.0
"""How long running cycles may go on after SIGTERM: most changes of one object are done in that."""

END_SECONDS = 25.0
"""How long a shutdown may take before the process exits by force, which loses nothing.

Below the 30 s after which Kubernetes sends SIGKILL (terminationGracePeriodSeconds).
"""


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """Options of `run`; times are in seconds, `interval` None takes each gateway's own.

    `public` is a second address of the control API, without its internal routes.

    `access` returns the control credentials, at the start and at each SIGHUP; raises UsageError.
    `data_plane` has the bounds of the embedded gateway, `control_bounds` those of control.
    """

    state: Path
    control: Address
    gateway: Address
    environment: str | None = None
    interval: float | None = None
    poll: float = 30.0
    is_once: bool = False
    public: Address | None = None
    access: Callable[[], ControlCredentials] = ControlCredentials
    gateway_keys: KeySettings = field(default_factory=KeySettings)
    data_plane: ProxyConfig = field(default_factory=ProxyConfig)
    control_bounds: ControlBounds = field(default_factory=ControlBounds)


@dataclass
class Process:
    """One process; `run` may be called once."""

    options: ProcessOptions
    source: Source
    reader: Reader
    presenter: Presenter
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _failed_task: str = ""

    async def run(self) -> int:
        """Reconcile until a signal; return the number of the signal, 0 for an end of its own.

        Raises StoaGitopsError for what keeps it from starting, and BackgroundFailed.
        """
        with state_lock.hold_state_lock(self.options.state):
            async with (
                Workspace.open(self.options.state) as workspace,
                open_usage_ledger(self.options.state) as ledger,
            ):
                self._build(workspace, GatewayUsage(ledger, now))
                await self._fleet.restore()
                with self._signals.handled():
                    async with self._listening():
                        await self._follow_catalog()
        if self._failed_task:
            message = "kept failing, so the process shut down; its log says why"
            raise BackgroundFailed(f"{self._failed_task} {message}")
        return self._signals.received

    @property
    def has_converged(self) -> bool:
        """Whether every gateway's last cycle left it as the catalog asks."""
        return self._statuses.has_reconciled_all() and self._statuses.is_in_sync()

    def _build(self, workspace: Workspace, usage: GatewayUsage) -> None:
        self._workspace = workspace
        self._control_url = ""
        self._listeners = ControlListeners()
        self._signals = Signals(self._request_stop, self._on_hangup)
        self._last_good = last_good.read_last_good(self.options.state)
        self._build_loops()
        fleet = self._build_fleet(workspace)
        self._build_gateway()
        # Addresses of this process are known here; its file in the state folder is for others.
        workspace.running = self._current_runtime
        workspace.inside = lambda one: (
            self._embedded.admin if one.is_embedded else self._published.admin_of(one)
        )
        self._runtime = RuntimePublisher(self.options.state, self._current_runtime)
        self._watcher = CatalogWatcher(
            self.source,
            self.reader,
            self._on_catalog,
            poll=self.options.poll,
            interval=walk_interval(self.options.interval, ()),
            failed=self._statuses.publish_unreadable,
            complete=lambda catalog: fill_from_last_good(catalog, self._last_good),
        )
        self._statuses.content = self._watcher.content
        self._operations = ProcessOperations(
            workspace,
            self._statuses,
            self._queue,
            self._watcher,
            lambda: self._background.down,
            lambda: [*self._gateway_keys.troubles(), *self._fleet.troubles()],
            fleet=fleet.views,
            forget_registered=self._fleet.forget,
            ask_embedded=self._embedded.ask,
            gateway_usage=usage,
        )

    def _build_loops(self) -> None:
        """Build what runs cycles and background tasks, and what is known of them."""
        self._queue = DirtyQueue()
        self._statuses = StatusRegistry(now, self._queue.ages)
        self._scheduler = Scheduler(self._queue)
        self._workers = WorkerPool(self._run_cycle, self._queue, self._scheduler, now)
        self._background = Supervisor(self._on_task_failed)
        self._safe_presenter = SafePresenter(self.presenter)
        self._loop_monitor = LoopMonitor(
            now, self._statuses.counters.lags.append, self._on_clock_step
        )

    def _build_fleet(self, workspace: Workspace) -> FleetParts:
        """Build what knows of gateways that register themselves."""
        store = workspace.context.store
        self._conditions = StoredConditions(store, self._statuses)
        fleet = FleetParts.build(
            store,
            self._statuses,
            self._workers,
            self._queue,
            self._close_gateway,
            self._conditions.save,
            partial(have_routes_fetched, workspace.context.secrets),
            environment=self.options.environment,
            interval=self.options.interval,
        )
        self._fleet, self._follower = fleet.service, fleet.follower
        self._assignment, self._reloads = fleet.assignment, fleet.reloads
        self._published, self._heartbeats = fleet.published, fleet.heartbeats
        return fleet

    def _build_gateway(self) -> None:
        """Build the gateway of this process, and the credentials of others."""
        address = self.options.gateway
        self._embedded = EmbeddedGateway(
            address.host,
            address.port,
            self._statuses.has_served_embedded,
            replace(self.options.data_plane, quota_dir=str(self.options.state)),
        )
        self._credentials = self.options.access().credentials(self.options.state)
        self._gateway_keys = LiveKeys(self.options.gateway_keys, self._credentials)
        self._gateway_keys.load()

    def _on_task_failed(self, task: str) -> None:
        """Shut down: without that task the process would only look alive."""
        self._failed_task = task
        self._request_stop()

    def _request_stop(self) -> None:
        if not self._stop.is_set():
            self._background.allow_end()
            self._stop.set()
            kill_after(END_SECONDS)

    def _on_hangup(self) -> None:
        """Reload what can change while a process runs; flags and the environment cannot."""
        reloaded = RELOADED
        try:
            new = self.options.access().credentials(self.options.state)
            reloaded = f"{replace_credentials(self._credentials, new)}, {reloaded}"
            self._runtime.publish()
        except StoaGitopsError as error:
            log.warning("SIGHUP: tokens and the webhook secret stay as they were: %s", error)
        log.info("SIGHUP: reloaded: %s", reloaded)
        self._operations.request_catalog_reload("SIGHUP")
        self._workers.mark_all(SETTINGS)

    def _on_clock_step(self, _: timedelta) -> None:
        """Reschedule what was scheduled by a clock that has moved since."""
        self._scheduler.restart_intervals()
        self._workers.mark_all(CLOCK)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Listen, and shut down in the order that cuts nobody off.

        Nothing new begins (timers, background tasks, Git), running cycles finish, what they did is
        stored, and only then the listeners close: probes and clients are answered until the end.
        """
        api_context = ApiContext(
            self._operations, Metrics(self._metrics), now, self._credentials, self._fleet
        )
        options = self.options
        self._control_url = await self._listeners.start(
            api_context, options.control, options.public, options.control_bounds
        )
        self._background.start(
            "reading the catalog on request", self._operations.follow_reload_requests
        )
        self._background.start("measuring the event loop", self._loop_monitor.run)
        self._background.start("following the gateway keys", self._gateway_keys.follow)
        self._background.start("watching registered gateways", self._fleet.run)
        self._runtime.write()
        self._scheduler.start()
        try:
            yield
        finally:
            self._scheduler.stop()
            await self._background.stop()
            children.terminate_all()
            await self._workers.stop(DRAIN_SECONDS)
            await self._assignment.finish()
            await self._follower.finish()
            await self._conditions.save()
            await self._fleet.stop()
            self._runtime.remove()
            await self._embedded.stop()
            await self._listeners.stop()

    def _metrics(self) -> Iterator[Metric]:
        yield from self._statuses.metrics()
        for part in (self._background, self._gateway_keys, self._fleet, self._listeners):
            yield from part.metrics()

    async def _follow_catalog(self) -> None:
        """Read the catalog, reconcile every gateway once, then follow changes until a stop."""
        self._background.start("binding registered gateways", self._assignment.follow)
        self._background.start("watching who fetches", self._published.fetching.watch)
        self._background.start("following heartbeats", self._heartbeats.follow)
        self._background.start("telling who fetches", self._reloads.follow)
        # Before the first reading, so that no edit falls between the two.
        self._background.start("watching the catalog", lambda: self._watcher.watch(self._stop))
        await self._conditions.restore(CATALOG_SUBJECT)
        await run_unless_stopped(self._stop, self._read_first_catalog())
        for instance in self._statuses.gateways:
            if instance.is_embedded:
                # Here, and not only in its cycle: an address in use fails the start.
                await self._embedded.serve(instance)
        await run_unless_stopped(self._stop, self._first_cycles())
        catalog = self._statuses.catalog
        if self._stop.is_set() or self.options.is_once or catalog is None:
            return
        await self._safe_presenter.listening(self._control_url, self._embedded.base_url, catalog)
        await self._stop.wait()

    async def _read_first_catalog(self) -> None:
        """Read the catalog; where that fails, go on with the last known good one, if there is one.

        Raises CatalogError where there is none, and for `--once`, which does not wait.
        """
        try:
            await self._watcher.load()
        except CatalogError as error:
            if self._last_good is None or self.options.is_once:
                raise
            message = (
                "the catalog cannot be read; what was applied last stays in force until it can: %s"
            )
            log.warning(message, error)
            if self._watcher.catalog is None:
                self._watcher.use_fallback(self._last_good.catalog())

    async def _first_cycles(self) -> None:
        while not self._statuses.has_reconciled_all():
            await self._statuses.changed.wait()

    def _on_catalog(self, catalog: Catalog) -> None:
        """Take over a new catalog: mark gateways that it changed, close those that it lacks."""
        chosen = self._assignment.take_catalog(catalog)
        self._gateway_keys.expect([one.name for one in catalog.gateways if one.is_unbound])
        if isinstance(self.source, FolderSource):
            # A remote is asked at each `poll`; a look at a folder costs a `stat` per file.
            own = (instance.interval for instance in chosen)
            self._watcher.interval = walk_interval(self.options.interval, own)
        last = LastKnownGood.of(catalog)
        if last is not None and last != self._last_good:
            self._last_good = last
            last_good.write_last_good(self.options.state, last)
        self._safe_presenter.catalog(catalog)

    async def _run_cycle(self, name: str, why: tuple[str, ...]) -> CycleResult | None:
        catalog, instance = self._statuses.catalog, self._statuses.find(name)
        if catalog is None or instance is None:
            return None
        assignment = Assignment(instance, catalog.desired[name], BrokenScope.of(catalog))
        log.debug("%s: cycle (%s)", name, ", ".join(why))
        began = monotonic()
        try:
            result = await self._reconcile(catalog, assignment, why)
        except Exception as error:
            plan = failed_plan(assignment, message_of(error))
            self._statuses.add_failure(plan, error, monotonic() - began)
            raise
        self._statuses.add_result(name, result, monotonic() - began)
        if result.is_settled:
            return result
        log_result(result)
        await self._safe_presenter.cycle(result.report)
        await self._conditions.save()
        return result

    async def _reconcile(
        self, catalog: Catalog, assignment: Assignment, why: tuple[str, ...]
    ) -> CycleResult:
        instance = assignment.instance
        await self._conditions.restore(instance.name)
        if instance.is_embedded:
            await self._embedded.serve(instance)
        await self._published.prepare(instance)
        self._runtime.publish()
        forced = self._operations.take_forced(instance.name)
        draft, is_published = self._published.draft_of(instance)
        # What somebody asked for, or a gateway that started anew, gets a whole cycle.
        is_asked = set(why) != {INTERVAL} or not is_published
        result = await reconcile_gateway(
            self._workspace, catalog, assignment, forced, draft, is_asked=is_asked
        )
        if not result.is_settled:
            await self._published.publish(instance, result)
        return result

    async def _close_gateway(self, name: str) -> None:
        self._conditions.forget(name)
        await self._workspace.close_gateway(name)

    def _current_runtime(self) -> runtime.Runtime:
        return runtime.Runtime(
            os.getpid(),
            self._control_url,
            self._embedded.base_url,
            self._credentials.token.reveal(),
            self._embedded.token,
        )
