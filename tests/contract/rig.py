"""The rig of the contract suite: an adapter, a gateway to talk to, and an inventory.

Every adapter has a module `tests/adapters/<folder>/rig.py` with `RIGS`, which builds on this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

import httpx

from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ObjectSpec
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.responses import Classifier
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection
from stoa_gitops.adapters.registry import info_for
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
from tests.adapters.front import Front, Trouble

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
    `lists`: what stands between adapter and gateway, and can leave objects out of lists. None for a
    gateway without a network.
    `restart`: gives it an adapter that has seen nothing yet; the records stay.
    `cut_off(n)`: from the n-th write on the credentials are refused; returns whether one was. None
    for a gateway without a network.
    `extended`: name and spec of an object of each extended kind that the gateway has.
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
    lists: Front | None = None
    restart: Callable[[], Awaitable[None]] | None = None
    cut_off: Callable[[int], Callable[[], bool]] | None = None
    extended: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

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
        name,
        gateway_type,
        "dev",
        base_url,
        SourceRef(f"gateways/{name}.yaml"),
        auth=GatewayAuth("bearer"),
        options=options,
    )
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


@asynccontextmanager
async def fronted(
    name: str,
    gateway_type: str,
    upstream: str,
    build: Callable[[Connection, AdminClient], GatewayAdapter],
    add_foreign: Callable[[], Awaitable[None]],
    foreign_bytes: Callable[[], Awaitable[bytes]],
    classify: Classifier | None = None,
    *,
    reads: Sequence[str] = ("GET *",),
    writes: Sequence[str] = ("POST *", "PUT *", "DELETE *"),
    login: tuple[str, str] | None = None,
) -> AsyncIterator[Rig]:
    """Yield the rig of an adapter whose gateway listens at `upstream`, behind a `Front`.

    `reads`, `writes`: which requests are which, as "METHOD path" globs. `login`: user and password,
    in place of a token.
    """
    front = Front(upstream)
    await front.start()
    link = connection(name, gateway_type, front.base_url + "/")
    if login is not None:
        secrets = dict(zip(("username", "password"), map(Secret, login), strict=True))
        instance = replace(link.instance, auth=GatewayAuth("basic"))
        link = replace(link, instance=instance, credentials=secrets)
    clients: list[AdminClient] = []

    def build_with_client(one: Connection) -> GatewayAdapter:
        clients.append(http(one, classify=classify))
        return build(one, clients[-1])

    driver, adapter = driver_with(info_for(gateway_type), build_with_client, link)

    async def restart() -> None:
        await rig.driver.aclose()
        rig.driver, rig.adapter = driver_with(info_for(gateway_type), build_with_client, link)

    def wait_for(seconds: float) -> None:
        # Short only where a response is known never to come, so that a busy machine fails no test.
        clients[-1]._transport.timeout = httpx.Timeout(seconds)

    def heal() -> None:
        wait_for(FAST.read_seconds)
        front.heal()

    def fail(trouble: Trouble, side: str) -> None:
        if trouble is Trouble.TIMEOUT:
            wait_for(0.05)
        for pattern in reads if side == "read" else writes:
            front.fail(trouble, pattern)

    rig = Rig(name, driver, adapter, fail, heal, add_foreign, foreign_bytes)
    try:
        rig.lists, rig.restart = front, restart
        rig.cut_off = partial(front.fail_after, trouble=Trouble.UNAUTHORIZED, patterns=writes)
        yield rig
    finally:
        await rig.driver.aclose()
        await front.stop()


RigBuilders: TypeAlias = "Mapping[str, Callable[[], AbstractAsyncContextManager[Rig]]]"
"""By the name of the variant, such as `3.9-document`; each builds a rig of its own."""
