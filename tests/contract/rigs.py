"""Every adapter with a gateway to talk to: real servers on loopback, or the one in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig

from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ObjectSpec
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection
from stoa_gitops.adapters.kong.adapter import KongAdapter
from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.memory.server import Fault, MemoryGateway, forget, gateway_named
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.adapters.stoa.adapter import StoaAdapter
from stoa_gitops.adapters.stoa.client import StoaClient, classify
from stoa_gitops.adapters.template.adapter import TemplateAdapter
from stoa_gitops.adapters.template.client import TemplateClient
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import SECRET_FIELD, Spec
from stoa_gitops.model.changes import Action
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    PlanHints,
    Resource,
    SourceRef,
)
from stoa_gitops.model.secret import Secret
from stoa_gitops.planning.inputs import PlanContext
from stoa_gitops.planning.planner import plan_gateway
from tests.adapters.front import Front, Trouble, listening
from tests.adapters.kong.double import KongDouble
from tests.adapters.stoa.double import Dialect, StoaDouble
from tests.adapters.template.double import TemplateDouble

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
TOKEN = "admin-token-for-the-tests"
SECRETS = {"env:MOBILE_KEY": "mobile-key-1", "env:BILLING_KEY": "billing-key-1"}
HMACS = {name: f"hmac-{number}" for number, name in enumerate(SECRETS)}
FAST = Limits(
    connect_seconds=2.0, read_seconds=10.0, call_seconds=30.0, tries=2, busy_cap_seconds=1.0
)

BILLING = Key("api", "acme", "billing")
CRM = Key("api", "acme", "crm")
LIMIT = Key("policy", "acme", "billing.rate_limit")
MOBILE = Key("application", "acme", "mobile")


def api(name: str, **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "displayName": name.title(),
        "version": "1.0.0",
        "active": True,
        "backend": {"url": f"https://{name}.example/v2", "timeout": "30s", "retries": 0},
        "routes": [{"path": f"/apis/acme/{name}", "methods": [], "hosts": [], "stripPath": True}],
        "plans": [],
    }
    return {**spec, **changes}


def specs_for(capabilities: Mapping[str, Any]) -> dict[Key, dict[str, Any]]:
    """Return a small catalog that uses what a gateway can do."""

    def can(name: str) -> bool:
        return name in capabilities and capabilities[name].supported

    billing = api("billing", description="Invoices")
    if can("plans"):
        billing["plans"] = [{"name": "gold", "perMinute": 100, "burst": 20}]
    if can("backend_auth:header"):
        value = {SECRET_FIELD: "env:BILLING_KEY"}
        billing["backend"]["auth"] = {"in": "header", "name": "X-Api-Key", "value": value}
    paths = ("/apis/acme/crm", "/crm/v1") if can("multiple_routes") else ("/apis/acme/crm",)
    routes = [{"path": p, "methods": ["GET"], "hosts": [], "stripPath": True} for p in paths]
    specs = {BILLING: billing, CRM: api("crm", routes=routes)}
    if can("policy:rate_limit"):
        config = {"requests": 100, "window": "1m", "by": "consumer"}
        limit = {"api": "billing", "type": "rate_limit", "priority": 100, "config": config}
        specs[LIMIT] = limit
    if can("application"):
        specs[MOBILE] = {
            "displayName": "Mobile",
            "owner": "team@acme.example",
            "credentials": [{"type": "api_key", "key": {SECRET_FIELD: "env:MOBILE_KEY"}}],
            "subscriptions": [{"api": "billing"}],
            "identifiers": {},
        }
    return specs


def resource(key: Key, spec: Mapping[str, Any]) -> Resource:
    hints = PlanHints()
    if key == MOBILE:
        hints = PlanHints(depends_on=(BILLING,))
    return Resource(key, Spec.of(spec), SourceRef(f"tenants/{key.short}.yaml"), hints)


def resolve(owner: str, wanted: Resource) -> ObjectSpec:
    def fill(value: Any) -> Any:
        if isinstance(value, dict) and SECRET_FIELD in value:
            if value[SECRET_FIELD] not in SECRETS:
                raise SecretUnresolved(f"{value[SECRET_FIELD]} leads nowhere")
            return Secret(SECRETS[value[SECRET_FIELD]])
        if isinstance(value, dict):
            return {name: fill(item) for name, item in value.items()}
        return [fill(item) for item in value] if isinstance(value, list) else value

    return ObjectSpec(
        wanted.key, wanted.key.identifier(owner), owner, fill(wanted.spec.value), None
    )


@dataclass
class Rig:
    """One adapter and its gateway; `records` is the inventory that grows with what is applied.

    `reads_first`: it writes by replacing everything, so it writes nothing while it cannot read.
    """

    name: str
    driver: Driver
    adapter: GatewayAdapter
    fail: Callable[[Trouble, str], None]
    heal: Callable[[], None]
    add_foreign: Callable[[], Awaitable[None]]
    foreign_bytes: Callable[[], Awaitable[bytes]]
    records: dict[Key, AppliedRecord] = field(default_factory=dict)
    reads_first: bool = False

    @property
    def specs(self) -> dict[Key, dict[str, Any]]:
        return specs_for(self.driver.capabilities)

    async def observe(self) -> ActualState:
        return await self.driver.observe(self.records)

    async def plan(self, specs: Mapping[Key, Mapping[str, Any]]) -> Plan:
        health = await self.driver.health()
        assert health.success, health.error
        resources = {key: resource(key, spec) for key, spec in specs.items()}
        desired = DesiredState(self.name, "default", "main@1", resources)
        context = PlanContext(NOW, secrets=dict(HMACS))
        actual = await self.observe()
        return plan_gateway(self.driver.plan_input(), desired, actual, self.records, context)

    async def execute(self, plan: Plan, **options: Any) -> list[Outcome]:
        outcomes = [
            outcome
            async for outcome in self.driver.execute(
                plan, lambda r: resolve("default", r), **options
            )
        ]
        for outcome in outcomes:
            self._record(outcome)
        return outcomes

    def _record(self, outcome: Outcome) -> None:
        change = outcome.change
        if outcome.status is not Status.APPLIED:
            return
        if change.action is Action.DELETE or change.resource is None:
            self.records.pop(change.key, None)
            return
        self.records[change.key] = AppliedRecord(
            change.key,
            change.resource.spec,
            outcome.gateway_id,
            "main@1",
            dict(change.secret_hmacs),
        )

    async def converge(self, specs: Mapping[Key, Mapping[str, Any]] | None = None) -> list[Outcome]:
        await self.driver.health()
        return await self.execute(await self.plan(self.specs if specs is None else specs))


def connection(name: str, gateway_type: str, base_url: str, **options: Any) -> Connection:
    instance = GatewayInstance(
        name, gateway_type, "dev", base_url, SourceRef(f"gateways/{name}.yaml"),
        auth=GatewayAuth("bearer"), options=options,
    )  # fmt: skip
    return Connection(instance, base_url, "default", {"token": Secret(TOKEN)})


def driver_with(
    info: AdapterInfo, build: Callable[[Connection], GatewayAdapter], link: Connection
) -> tuple[Driver, GatewayAdapter]:
    built: list[GatewayAdapter] = []

    def factory(one: Connection) -> GatewayAdapter:
        built.append(build(one))
        return built[-1]

    driver = Driver(replace(info, factory=factory), link, clock=lambda: NOW)
    return driver, built[0]


async def without_pause(seconds: float) -> None:
    """Stand in for asyncio.sleep."""


def http(link: Connection, **options: Any) -> AdminClient:
    return AdminClient(link, limits=FAST, sleep=without_pause, **options)


_MEMORY_FAULTS = {
    Trouble.TIMEOUT: Fault.TIMEOUT,
    Trouble.REFUSED_CONNECTION: Fault.REFUSED_CONNECTION,
    Trouble.UNAUTHORIZED: Fault.UNAUTHORIZED,
    Trouble.CONFLICT: Fault.CONFLICT,
    Trouble.BUSY: Fault.BUSY,
    Trouble.SERVER_ERROR: Fault.SERVER_ERROR,
    Trouble.MALFORMED: Fault.MALFORMED,
    Trouble.HTML: Fault.MALFORMED,
    Trouble.HALF_WRITTEN: Fault.HALF_WRITTEN,
}
_MEMORY_CALLS = {"read": ("list",), "write": ("put", "delete", "write")}


@asynccontextmanager
async def memory_rig(granularity: str) -> AsyncIterator[Rig]:
    name = f"memory-{granularity}"
    server: MemoryGateway = gateway_named(name)
    link = connection(name, "memory", "memory:", granularity=granularity)
    info = info_for("memory")
    driver, adapter = driver_with(info, info.factory, link)
    foreign_id = "foreign-1"

    def fail(trouble: Trouble, side: str) -> None:
        for call in _MEMORY_CALLS[side]:
            server.fail(_MEMORY_FAULTS[trouble], call, times=1000)

    async def add_foreign() -> None:
        server.add_foreign(Key("api", "other", "feed"), Spec.of(api("feed")), foreign_id)

    async def foreign_bytes() -> bytes:
        held = server.objects[foreign_id]
        return json.dumps([str(held.key), held.spec.raw.decode(), held.mark]).encode()

    yield Rig(name, driver, adapter, fail, server.heal, add_foreign, foreign_bytes)
    await driver.aclose()
    forget(name)


@asynccontextmanager
async def fronted(
    name: str,
    gateway_type: str,
    upstream: str,
    build: Callable[[Connection], GatewayAdapter],
    add_foreign: Callable[[], Awaitable[None]],
    foreign_bytes: Callable[[], Awaitable[bytes]],
) -> AsyncIterator[Rig]:
    front = Front(upstream)
    await front.start()
    link = connection(name, gateway_type, front.base_url + "/")
    driver, adapter = driver_with(info_for(gateway_type), build, link)
    assert isinstance(adapter, (KongAdapter, StoaAdapter, TemplateAdapter))

    def wait_for(seconds: float) -> None:
        # Short only where an answer is known never to come, so that a busy machine fails no test.
        client = adapter._client._http._exchange._client
        client.timeout = httpx.Timeout(seconds)

    def heal() -> None:
        wait_for(FAST.read_seconds)
        front.heal()

    def fail(trouble: Trouble, side: str) -> None:
        if trouble is Trouble.TIMEOUT:
            wait_for(0.05)
        for method in ("GET",) if side == "read" else ("POST", "PUT", "DELETE"):
            front.fail(trouble, f"{method} *")

    yield Rig(name, driver, adapter, fail, heal, add_foreign, foreign_bytes)
    await driver.aclose()
    await front.stop()


FOREIGN_ROUTE = {
    "id": "theirs-1", "name": "feed", "tenant_id": "other", "path_prefix": "/apis/other/feed",
    "backend_url": "https://feed.example/", "methods": ["get"], "spec_hash": "?", "activated": True,
    "classification": "VH",
}  # fmt: skip


def build_stoa(link: Connection) -> GatewayAdapter:
    return StoaAdapter(link.owner, StoaClient(http(link, classify=classify)))


@asynccontextmanager
async def stoa_double_rig(dialect: Dialect) -> AsyncIterator[Rig]:
    double = StoaDouble(dialect, TOKEN)
    runner, base_url = await listening(double.app())
    name = f"stoa-{dialect.name.lower()}"

    async def add_foreign() -> None:
        double.routes["theirs-1"] = dict(FOREIGN_ROUTE)

    async def foreign_bytes() -> bytes:
        return json.dumps(double.routes["theirs-1"]).encode()

    async with fronted(
        name, "stoa_edge_mcp", base_url, build_stoa, add_foreign, foreign_bytes
    ) as rig:
        yield rig
    await runner.cleanup()


@asynccontextmanager
async def data_plane_rig() -> AsyncIterator[Rig]:
    gateway = Gateway(ProxyConfig(port=0, admin_api_token=TOKEN, drain_seconds=0))
    await gateway.start()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=headers) as person:

        async def add_foreign() -> None:
            answer = await person.post("/admin/apis", json=FOREIGN_ROUTE)
            answer.raise_for_status()

        async def foreign_bytes() -> bytes:
            return (await person.get("/admin/apis/theirs-1")).raise_for_status().content

        async with fronted(
            "stoa-embedded", "stoa", gateway.base_url, build_stoa, add_foreign, foreign_bytes
        ) as rig:
            yield rig
    await gateway.stop(0)


def build_template(link: Connection) -> GatewayAdapter:
    return TemplateAdapter(link.owner, TemplateClient(http(link)))


@asynccontextmanager
async def template_rig() -> AsyncIterator[Rig]:
    double = TemplateDouble()
    runner, base_url = await listening(double.app())

    async def add_foreign() -> None:
        double.things["services"]["theirs"] = {
            "id": "theirs", "title": "Feed", "enabled": True, "target": "https://f.example", "prefixes": [],
        }  # fmt: skip

    async def foreign_bytes() -> bytes:
        return json.dumps(double.things["services"]["theirs"]).encode()

    async with fronted(
        "template", "template", base_url, build_template, add_foreign, foreign_bytes
    ) as rig:
        yield rig
    await runner.cleanup()


FOREIGN_SERVICE = {
    "id": "7f7e4f2c-5a39-4b5e-9a55-0d5c3f6f2c11", "name": "other.feed", "host": "feed.example",
    "path": "/x", "created_at": 1700000000,
}  # fmt: skip


def build_kong(link: Connection) -> GatewayAdapter:
    return KongAdapter(link, KongClient(http(link)))


@asynccontextmanager
async def kong_rig(version: str, database: Literal["off", "postgres"]) -> AsyncIterator[Rig]:
    double = KongDouble(version, database=database)
    runner, base_url = await listening(double.app())
    path = f"/services/{FOREIGN_SERVICE['id']}"
    async with httpx.AsyncClient(base_url=base_url) as person:

        async def add_foreign() -> None:
            if database == "off":
                double.load({"_format_version": "3.0", "services": [FOREIGN_SERVICE]})
            else:
                (await person.put(path, json=FOREIGN_SERVICE)).raise_for_status()

        async def foreign_bytes() -> bytes:
            held = (await person.get(path)).raise_for_status().json()
            return json.dumps({n: v for n, v in held.items() if n != "updated_at"}).encode()

        name = f"kong-{version}-{database}"
        async with fronted(name, "kong", base_url, build_kong, add_foreign, foreign_bytes) as rig:
            rig.reads_first = database == "off"
            yield rig
    await runner.cleanup()


RIGS = {
    "kong-3.4-document": lambda: kong_rig("3.4.2", "off"),
    "kong-3.4-database": lambda: kong_rig("3.4.2", "postgres"),
    "kong-3.9-document": lambda: kong_rig("3.9.1", "off"),
    "kong-3.9-database": lambda: kong_rig("3.9.1", "postgres"),
    "memory-resource": lambda: memory_rig("resource"),
    "memory-document": lambda: memory_rig("document"),
    "stoa-embedded": data_plane_rig,
    "stoa-double": lambda: stoa_double_rig(Dialect.OURS),
    "stoa-real": lambda: stoa_double_rig(Dialect.REAL),
    "template": template_rig,
}
