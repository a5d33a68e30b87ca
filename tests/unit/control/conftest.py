"""The control application on a real loopback socket, over operations that a test can steer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from stoa_proxy.foundation.clock import SystemClock
from stoa_proxy.foundation.connection_shares import ConnectionShares, ShareBounds

from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.app import build
from stoa_gitops.control.auth import Credentials
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.fleet_port import (
    Acknowledged,
    GatewayConfig,
    Published,
    TableAcknowledged,
)
from stoa_gitops.control.hosts import HostNames
from stoa_gitops.control.metrics import Metrics
from stoa_gitops.control.process_port import Conflict, NotReady, UsageAsked
from stoa_gitops.control.route import Route
from stoa_gitops.control.server import ControlProtocol, ControlServer
from stoa_gitops.control.tenant_tokens import TenantTokens
from stoa_gitops.daemon.fleet_service import FleetService
from stoa_gitops.errors import GatewayUnknown
from stoa_gitops.fleet.keys import GatewayKeys
from stoa_gitops.fleet.registration import MemberRecord
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.model.principal import Principal
from stoa_gitops.model.secret import Secret
from stoa_gitops.operations.snapshot_views import SnapshotPage, SnapshotView
from stoa_gitops.operations.usage_views import UsagePage, UsageView
from stoa_gitops.operations.views import (
    FORMAT_VERSION,
    CatalogView,
    GatewayDetailView,
    GatewayView,
    StatusView,
)
from stoa_gitops.reconcile.metrics import Sample, gauge
from stoa_gitops.store import AuditEntry, UsageRow

TOKEN = "a-control-token-for-tests"
KEY = "gw_dev_0123456789abcdef0123456789abcdef"
TENANT_TOKENS = {"acme": "a-token-of-acme", "rival": "a-token-of-rival"}
TENANT_LINES = "\n".join(
    f"{tenant} {hashlib.sha256(token.encode()).hexdigest()}"
    for tenant, token in TENANT_TOKENS.items()
)
SECRET = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def gateway_view(name: str) -> GatewayView:
    return GatewayView(
        name=name,
        type="stoa",
        environment="dev",
        status="ONLINE",
        bound=True,
        suspended=False,
        revision="main@1",
        cycles=1,
        recap={"ok": 1},
        conditions=[],
    )


def snapshot_view(request_id: str, tenant: str, api: str) -> SnapshotView:
    return SnapshotView(
        request_id=request_id,
        timestamp=NOW.isoformat(),
        tenant_id=tenant,
        api_id=api,
        route_id=api,
        consumer_id=None,
        method="GET",
        path="/a",
        query="",
        client_address="192.0.2.1",
        status_code=502,
        error_category="backend_failed",
        failure="unreachable",
        fallback=None,
        duration_ms=1.5,
        request_headers=[("Host", "x")],
        response_headers=[],
        policies=[],
        policies_ms=0.1,
        calls=[],
        trace_id=None,
    )


@dataclass
class Steered:
    """Operations over gateways `a`, `b` and `c`; remembers what was asked."""

    names: tuple[str, ...] = ("a", "b", "c")
    is_up: bool = True
    down: tuple[str, ...] = ()
    asked: list[tuple[str, ...]] = field(default_factory=list)
    forced: list[str] = field(default_factory=list)
    looks: int = 0
    usages: list[UsageAsked] = field(default_factory=list)
    reports: list[tuple[Any, ...]] = field(default_factory=list)
    fails: Exception | None = None
    blocks: asyncio.Event | None = None
    planning: int = 0

    def is_ready(self) -> bool:
        return self.is_up

    def failed_tasks(self) -> Sequence[str]:
        return self.down

    async def status(self) -> StatusView:
        if self.fails:
            raise self.fails
        return StatusView(
            format_version=FORMAT_VERSION,
            source="process",
            version="0",
            ready=True,
            well=True,
            troubles=[],
            catalog=CatalogView(
                owner="x", revision="main@1", errors=0, warnings=0, unreadable=None
            ),
            items=[gateway_view(name) for name in self.names],
            next=None,
        )

    async def gateways(self) -> Sequence[GatewayView]:
        return [gateway_view(name) for name in self.names]

    async def gateway(self, name: str) -> GatewayDetailView:
        self._check(name)
        return GatewayDetailView.extend(
            gateway_view(name), objects=1, quarantined=[], last_cycle=None
        )

    async def plan(self, name: str) -> PlanSet:
        self._check(name)
        self.planning += 1
        if self.blocks:
            await self.blocks.wait()
        return PlanSet("main@1", (Plan(name, "stoa", "main@1", unchanged=1),), 1)

    async def reconcile(self, name: str, principal: Principal, force: str = "") -> None:
        self._check(name)
        self.forced += [force] if force else []
        self.asked.append(("reconcile", name, principal.subject))

    async def suspend(self, name: str, principal: Principal, reason: str) -> None:
        self._check(name)
        self.asked.append(("suspend", name, reason))

    async def resume(self, name: str, principal: Principal) -> None:
        self._check(name)
        if name == "c":
            raise Conflict("the document of c says `suspended: true`: change it there")
        self.asked.append(("resume", name))

    async def forget(self, name: str, principal: Principal) -> None:
        self._check(name)
        if name == "c":
            raise Conflict("c did not register itself: remove its document, then forget it")
        self.asked.append(("forget", name))

    async def audit(self, gateway: str | None, limit: int, before: int | None) -> list[AuditEntry]:
        newest = 7 if before is None else before - 1
        return [
            AuditEntry(NOW, "me", gateway or "a", "api/acme/x", "create", "applied", id=number)
            for number in range(newest, max(0, newest - limit), -1)
        ]

    async def snapshots(
        self, tenant: str | None, api: str | None, limit: int, before: str
    ) -> SnapshotPage:
        if tenant == "nowhere":
            raise Conflict("no errors are kept here")
        newest = int(before) - 1 if before else 7
        numbers = list(range(newest, max(0, newest - limit), -1))
        items = [snapshot_view(str(number), tenant or "acme", api or "r1") for number in numbers]
        return SnapshotPage(items=items, next=None if numbers[-1] == 1 else str(numbers[-1]))

    async def usage(self, asked: UsageAsked) -> UsagePage:
        if asked.tenant == "nowhere":
            raise Conflict("no usage is counted here")
        self.usages.append(asked)
        row = UsageView(
            hour=NOW.isoformat(), tenant_id=asked.tenant or "acme", api_id=asked.api or "r1",
            application_id=asked.application or "", requests=3, errors=1, refused=0,
            received_bytes=0, sent_bytes=5, seconds=0.5,
        )  # fmt: skip
        return UsagePage(items=[row], is_whole=True)

    async def take_usage(self, gateway: str, source: str, rows: Sequence[UsageRow]) -> None:
        if self.fails:
            raise self.fails
        self.reports.append((gateway, source, *rows))

    def request_catalog_reload(self, why: str) -> None:
        self.looks += 1

    def _check(self, name: str) -> None:
        if name not in self.names:
            raise GatewayUnknown(f"no gateway {name!r}; there is: {', '.join(self.names)}")


@dataclass
class Records:
    """A store of registrations in memory, with faults on demand."""

    held: dict[str, MemberRecord] = field(default_factory=dict)
    entries: list[AuditEntry] = field(default_factory=list)
    fails: Exception | None = None
    writes: int = 0

    async def load_registrations(self) -> tuple[MemberRecord, ...]:
        return tuple(self.held.values())

    async def save_registrations(
        self,
        records: Iterable[MemberRecord],
        removed: Iterable[str] = (),
        entries: Iterable[AuditEntry] = (),
    ) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        self.writes += 1
        self.held |= {record.registration.id: record for record in records}
        for one in removed:
            self.held.pop(one, None)
        self.entries += entries


@dataclass
class Publishing:
    """Publications that a test steers; remembers what was acknowledged."""

    published: dict[str, Published] = field(default_factory=dict)
    given: GatewayConfig = field(default_factory=GatewayConfig)
    fails: Exception | None = None
    own: frozenset[str] = frozenset()
    acks: list[Acknowledged] = field(default_factory=list)
    tables: list[TableAcknowledged] = field(default_factory=list)

    async def routes(self, gateway_id: str) -> Published:
        if self.fails:
            raise self.fails
        if gateway_id not in self.published:
            raise NotReady("not bound")
        return self.published[gateway_id]

    table = routes

    async def config(self, gateway_id: str) -> GatewayConfig:
        return self.given

    async def apis(self, gateway_id: str) -> Sequence[JsonObject]:
        return [{"id": "payments", "name": "Payments"}]

    async def acknowledge(self, gateway_id: str, acks: Sequence[Acknowledged]) -> int:
        self.acks += acks
        return sum(ack.id in self.own for ack in acks)

    async def acknowledge_table(self, gateway_id: str, ack: TableAcknowledged) -> None:
        self.tables.append(ack)


def make_fleet() -> tuple[FleetService, Records, Publishing]:
    """Return a service over a store in memory, with a clock that stands still."""
    records, publishing = Records(), Publishing()
    store: Any = records
    return FleetService(store, publishing, lambda: NOW, steady=lambda: 0.0), records, publishing


@dataclass
class Served:
    """The application on a port, and clients for it."""

    operations: Steered
    port: int
    client: httpx.AsyncClient
    credentials: Credentials
    fleet: FleetService
    records: Records
    publishing: Publishing

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)


Serve = Callable[..., Any]


def make_shares(connections: int = 256, per_client: int = 64) -> ConnectionShares[ControlProtocol]:
    bounds = ShareBounds(connections, per_client)
    return ConnectionShares(bounds, logging.getLogger("test"), SystemClock())


@asynccontextmanager
async def serving(
    secret: str | None = SECRET,
    *,
    connections: int = 256,
    per_client: int = 64,
    routes: Iterable[Route] = ROUTES,
) -> AsyncIterator[Served]:
    operations = Steered()
    metrics = Metrics(lambda: [gauge("stoa_gitops_up", "Up.", [Sample(1.0)])])
    credentials = Credentials(
        Secret(TOKEN),
        Secret(secret) if secret else None,
        GatewayKeys.parse(KEY),
        tenant_tokens=TenantTokens.parse(TENANT_LINES),
    )
    fleet, records, publishing = make_fleet()
    context = ApiContext(operations, metrics, lambda: NOW, credentials, fleet)
    shares = make_shares(connections, per_client)
    names = HostNames(["stoa.example.com", "*.internal"])
    server = ControlServer(build(context, names, shares, routes), shares, drain_seconds=0.1)
    port = await server.start("127.0.0.1", 0)
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
    )
    try:
        async with client:
            yield Served(operations, port, client, credentials, fleet, records, publishing)
    finally:
        await server.stop()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as found:
        yield found


Answering = Callable[[], Awaitable[httpx.Response]]
