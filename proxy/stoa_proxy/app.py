"""The data plane as one object that can be embedded.

::

    gateway = Gateway(ProxyConfig(port=0, admin_api_token="..."))
    await gateway.start()
    ...  # gateway.base_url
    await gateway.stop(drain_seconds=5)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from stoa_proxy.access_log_writer import AccessLogWriter
from stoa_proxy.admin.api import AdminApi, own_version
from stoa_proxy.admin.batch import Parse
from stoa_proxy.admin.shadow import ShadowAdmin
from stoa_proxy.admin.snapshots import SnapshotAdmin
from stoa_proxy.config import ProxyConfig
from stoa_proxy.control_plane.session import ControlPlaneSession
from stoa_proxy.core.access_logs import AccessLogs
from stoa_proxy.core.backend_health import BackendHealth
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.quotas import QuotaCounters
from stoa_proxy.core.snapshots import Snapshots
from stoa_proxy.engine_choice import choose_engine
from stoa_proxy.engines.base import OPERATOR, Engine
from stoa_proxy.engines.complete.upstream.client import Pause
from stoa_proxy.foundation.address_guard import AddressGuard, parse_networks
from stoa_proxy.foundation.clock import Clock, SystemClock
from stoa_proxy.foundation.loop_lag import LoopLag
from stoa_proxy.foundation.metrics import Metrics
from stoa_proxy.foundation.output_thread import OutputThread
from stoa_proxy.gateway_metrics import add_metrics
from stoa_proxy.health_checker import HealthChecker
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.modes import DEFAULT_TENANT, make_parts
from stoa_proxy.own_paths import OwnPaths
from stoa_proxy.pipeline.snapshots import SnapshotMaker
from stoa_proxy.pipeline.tracing import Tracing
from stoa_proxy.policies import POLICIES
from stoa_proxy.policies.registry import PolicyRegistry
from stoa_proxy.quota_file import QuotaFile
from stoa_proxy.shadow.learner import Learner
from stoa_proxy.shadow_file import ShadowFile
from stoa_proxy.snapshot_file import SnapshotFile
from stoa_proxy.span_exporter import SpanExporter
from stoa_proxy.table_file import TableFile
from stoa_proxy.tokens.key_sets import KeySets
from stoa_proxy.usage_file import UsageFile
from stoa_proxy.workers.paths import CommonPaths
from stoa_proxy.workers.shared_state import SharedState
from stoa_proxy.workers.supervisor import WorkersEngine

_log = logging.getLogger("stoa_proxy.admin.api")


class KeptFile(Protocol):
    """What is kept on disk from `start` to `stop`."""

    def start(self) -> None: ...  # noqa: D102

    async def stop(self) -> None: ...  # noqa: D102


class Timing(NamedTuple):
    """What waits and counts time, handed in by tests."""

    clock: Clock
    pause: Pause
    jitter: Callable[[], float]


class WorkerPlace(NamedTuple):
    """What makes a gateway one of several processes that are one gateway (`worker_process`)."""

    shared: SharedState
    make_paths: Callable[[AdminApi, Metrics, int], OwnPaths]
    via: str


class Gateway:
    """Listener, admin API and proxy of one process, for one event loop.

    `clock`, `pause`, `jitter` and `policy_types` are handed in by tests. State (routes, policies,
    consumers, counters) lives as long as the object, so a `start` after a `stop` still has it.
    With several `config.workers` others serve, with the usual clock and policy types; `place` makes
    this one of them.
    """

    def __init__(
        self,
        config: ProxyConfig,
        *,
        clock: Clock | None = None,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        policy_types: PolicyRegistry = POLICIES,
        place: WorkerPlace | None = None,
    ) -> None:
        self._config = config
        clock = clock or SystemClock()
        shared = place.shared if place is not None else None
        counters = None if shared is None else shared.rate_counters(clock, config)
        parts = make_parts(config, clock, policy_types, counters)
        self.pipeline, self.store, config = parts.pipeline, parts.store, parts.config
        if shared is None and config.workers > 1:
            shared = SharedState.create(config.workers)
        if shared is not None:
            self.pipeline.states.put(QuotaCounters, shared.quota_counters(clock))
        if config.tracing is not None and (place is not None or shared is None):
            # Before the engine, which looks for it once.
            self.pipeline.tracing = Tracing(config.tracing, config.mode, clock)
        self._admin = AdminApi(config, self.store, clock, self.pipeline.states)
        self._admin.guard = parts.guard
        self._files: list[KeptFile] = []
        self._usage_file: UsageFile | None = None
        if parts.learner is not None:
            self._begin_to_learn(parts.learner, config)
        timing = Timing(clock, pause, jitter)
        self.own_paths: OwnPaths
        self.own_paths, self._engine = self._make_engine(config, shared, place, timing)
        if place is not None:
            self.pipeline.via = place.via
        keys = self.pipeline.states.of(KeySets)
        keys.realm, keys.realm_services = config.realm, partial(self._engine.services_of, OPERATOR)
        self._port: int | None = None
        # Of several processes one checks backends: which, their parent says.
        self._leads = place is None
        self._lag = LoopLag()
        self._keep_files(config, clock)
        self.pipeline.backends.balancers.jitter = jitter
        self._access_logs = AccessLogWriter(
            self.pipeline.states.of(AccessLogs), self._engine.services_of, clock,
            pause=pause, jitter=jitter,
            make_thread=OutputThread if shared is None else shared.make_output_thread,
        )  # fmt: skip
        self._health_checker = HealthChecker(
            self.store, self.pipeline.states.of(BackendHealth), self._engine.services_of, clock,
            pause=pause, jitter=jitter,
        )  # fmt: skip
        self._exporter = self._make_exporter(timing)
        self._engine.on_drained = self._write_last
        self._session = self._make_session(config, timing)
        add_metrics(self.pipeline, self.store, config.mode, self._lag, clock)

    def _make_engine(
        self,
        config: ProxyConfig,
        shared: SharedState | None,
        place: WorkerPlace | None,
        timing: Timing,
    ) -> tuple[OwnPaths, Engine]:
        """Return what serves, here or in several processes, and the paths of its own."""
        clock, pause, jitter = timing
        paths = (self._admin, self.pipeline.metrics, config.max_admin_body)
        if shared is not None and place is None:
            common = CommonPaths(*paths)
            return common, WorkersEngine(
                self.pipeline, self.store, common, config, clock,
                shared=shared, pause=pause, jitter=jitter,
            )  # fmt: skip
        own = OwnPaths(*paths) if place is None else place.make_paths(*paths)
        return own, choose_engine(config.engine)(
            self.pipeline, self.store, own, config, clock, pause=pause, jitter=jitter
        )

    def _make_exporter(self, timing: Timing) -> SpanExporter | None:
        """Return what sends spans, where they are made here."""
        if self.pipeline.tracing is None:
            return None
        clock, pause, jitter = timing
        services = partial(self._engine.services_of, OPERATOR)
        exporter = SpanExporter(
            self.pipeline.tracing, services, own_version(), clock, pause=pause, jitter=jitter
        )
        exporter.add_metrics(self.pipeline.metrics)
        return exporter

    def _make_session(self, config: ProxyConfig, timing: Timing) -> ControlPlaneSession | None:
        """Return what keeps up with a control plane, where there is one."""
        if config.control_plane is None:
            return None
        clock, pause, jitter = timing
        session = ControlPlaneSession(
            config, config.control_plane, self._admin, self.store, self.pipeline.metrics, clock,
            pause=pause, jitter=jitter, usage=self._usage_file,
        )  # fmt: skip
        self.own_paths.find_trouble = session.readiness.find_trouble
        return session

    def _keep_files(self, config: ProxyConfig, clock: Clock) -> None:
        """Bring back what earlier processes kept in folders, and keep it there."""
        if config.state_dir is not None:
            table_file = TableFile(self.store, Path(config.state_dir), self._admin.parsers)
            table_file.load()
            self._files.insert(0, table_file)
        named = config.quota_dir or config.state_dir
        folder = None if named is None else Path(named)
        if folder is not None:
            quota_file = QuotaFile(self.pipeline.states.of(QuotaCounters), folder)
            quota_file.load()
            self._usage_file = UsageFile(self.pipeline.usage, folder, clock)
            self.own_paths.show_usage = self._usage_file.show
            self._files += [quota_file, self._usage_file]
        if not config.snapshots:
            return
        kept = Snapshots(config.snapshots_per_tenant, config.snapshot_hours)
        self.pipeline.snapshots = SnapshotMaker(kept, self.store.compile_wrapped, clock)
        self._admin.snapshots = SnapshotAdmin(kept, config.tenant_id)
        if folder is not None:
            snapshot_file = SnapshotFile(kept, folder, clock)
            snapshot_file.load()
            self._files.append(snapshot_file)

    def _begin_to_learn(self, learner: Learner, config: ProxyConfig) -> None:
        """Show what is learned in the admin API, and keep it where there is a folder."""
        tenant = config.tenant_id or DEFAULT_TENANT
        shadow = ShadowAdmin(learner, tenant, config.upstream_url, config.shadow_min_requests)
        self._admin.shadow = shadow
        if config.state_dir is not None:
            shadow_file = ShadowFile(learner, Path(config.state_dir), tenant)
            shadow_file.load()
            shadow.save = shadow_file.save_proposals
            self._files.append(shadow_file)

    async def start(self) -> None:
        """Listen on the configured address. Raises ListenFailed."""
        self.own_paths.is_draining = False
        self._port = await self._engine.start(self._config.host, self._config.port)
        self._lag.start()
        self._access_logs.start()
        if self._exporter is not None:
            self._exporter.start()
        if self.pipeline.forwards and self._engine.serves_here:
            self._health_checker.start(leads=self._leads)
            self.store.on_change["health checks"] = self._health_checker.update
        for file in self._files:
            file.start()
        if self._session is not None:
            await self._session.start(self._port)

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Accept no more, let requests finish, and end after `drain_seconds` at the latest.

        Without an argument after the configured time. Does nothing when not started.
        """
        if self._port is None:
            return
        self._port = None
        seconds = self._config.drain_seconds if drain_seconds is None else drain_seconds
        self.own_paths.is_draining = True
        self._lag.stop()
        await self._health_checker.stop()
        leaving = [self._engine.stop(seconds)]
        if self._session is not None:
            # At the same time: nobody should be sent here while the last requests end.
            leaving.append(self._session.leave())
        await asyncio.gather(*leaving)
        if self._session is not None:
            await self._session.stop()
        for file in self._files:
            await file.stop()

    def lead_checks(self) -> None:
        """Check backends for all processes of this gateway, from now on."""
        self._leads = True
        self._health_checker.lead()

    async def _write_last(self) -> None:
        """Send lines and spans: there are connections still, and no more requests."""
        await self._access_logs.stop()
        if self._exporter is not None:
            await self._exporter.stop()

    async def administer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, /
    ) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        """Call the admin API from the process that embeds this, without the listener.

        Returns status, headers with names in lower case, and the body in parts. Validated as over
        the listener, credential included, but not delayed by whatever clients do there.
        """
        await asyncio.sleep(0)  # so that a caller in a loop lets others run
        pairs = tuple(headers.items())
        head = RequestHead(
            method, target, pairs, lower_names(pairs), "embedded", has_body=bool(body)
        )
        try:
            response = await self.own_paths.finish(self.own_paths.administer(head, body))
        except Exception:  # noqa: BLE001 - the boundary where an internal error becomes a response
            _log.exception("unexpected error in an admin request")
            response = problem(500, "Internal server error")
        named = {name.lower(): value for name, value in response.headers}
        return response.status, named, _parts(response)

    def set_ready(self, is_ready: bool | Callable[[], bool]) -> None:
        """Set what `/ready` answers while the gateway listens: 200 when true, else 503.

        A callable is asked each time. Without a call of this, listening is being ready. Requests
        are served either way: readiness only tells who sends them here.
        """
        self.own_paths.is_ready = is_ready if callable(is_ready) else lambda: is_ready

    @property
    def port(self) -> int:
        """The bound port. Raises RuntimeError when not started."""
        if self._port is None:
            raise RuntimeError("the gateway is not started")
        return self._port

    @property
    def base_url(self) -> str:
        """The URL by which this process reaches the listener; loopback for all addresses."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - nothing is bound here
            self._config.host, self._config.host
        )
        scheme = "http" if self._config.tls is None else "https"
        return (
            f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"
        )

    async def update_backends(self, allow: Iterable[str], deny: Iterable[str] = ()) -> None:
        """Check backend addresses by these CIDRs from now on. Raises ValueError for a wrong one.

        Requests in flight finish; connections made under the old rules are not used again.
        """
        guard = AddressGuard(parse_networks(allow), parse_networks(deny))
        self._admin.guard = guard
        await self.use_guard(guard)

    async def use_guard(self, guard: AddressGuard) -> None:
        """Connect to backends by these rules, whatever is checked of addresses before."""
        await self._engine.update_guard(guard)

    @property
    def parsers(self) -> Mapping[str, Parse]:
        """What parses the objects of the admin API, by their kinds."""
        return self._admin.parsers


async def _parts(response: Respond) -> AsyncIterator[bytes]:
    """Yield the body of a response; others run before each further part is made."""
    yield response.body
    for part in response.rest or ():
        await asyncio.sleep(0)
        yield part
