"""An adapter that does as a test says, and plans made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from stoa_gitops.adapter_sdk.apply_each import ResourceAdapter
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    ListItem,
    ObjectSpec,
    list_item,
)
from stoa_gitops.adapter_sdk.info import AdapterInfo
from stoa_gitops.adapter_sdk.results import ok
from stoa_gitops.drivers.driver import Deadlines, Driver
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import Observed, Resource, SourceRef
from tests.unit.adapter_sdk.serving import connection

NOW = datetime(2026, 8, 1, tzinfo=UTC)
Behaviour = Callable[[Key], Awaitable[AdapterResult]]


async def succeed(key: Key) -> AdapterResult:
    return ok(f"id of {key}")


class Scripted(ResourceAdapter):
    """Records starts and ends; `behaviour` decides the result of every write."""

    title = "Scripted"

    def __init__(self, behaviour: Behaviour = succeed) -> None:
        self.behaviour = behaviour
        self.log: list[str] = []
        self.running = 0
        self.most = 0
        self.items: list[dict[str, Any]] | Exception = []
        self.specs: list[ObjectSpec] = []
        self.closed = 0

    async def _write(self, key: Key) -> AdapterResult:
        self.log.append(f"start {key}")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.behaviour(key)
        finally:
            self.running -= 1
            self.log.append(f"end {key}")

    async def health_check(self) -> AdapterResult:
        return ok(data={"version": "9"})

    async def connect(self) -> None: ...

    async def disconnect(self) -> None:
        self.closed += 1

    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        self.specs.append(api_spec)
        return await self._write(api_spec.key)

    async def delete_api(self, api_id: str) -> AdapterResult:
        return await self._write(Key.parse(api_id))

    async def list_apis(self) -> list[ListItem]:
        await asyncio.sleep(0)
        if isinstance(self.items, Exception):
            raise self.items
        return self.items

    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        return await self._write(policy_spec.key)

    async def delete_policy(self, policy_id: str) -> AdapterResult:
        return await self._write(Key.parse(policy_id))

    async def list_policies(self) -> list[ListItem]:
        return []

    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        return await self._write(app_spec.key)

    async def deprovision_application(self, app_id: str) -> AdapterResult:
        return await self._write(Key.parse(app_id))

    async def list_applications(self) -> list[ListItem]:
        return []


def driver_of(adapter: GatewayAdapter, deadlines: Deadlines | None = None) -> Driver:
    info = AdapterInfo("scripted", ("scripted",), lambda link: adapter, {}, title="Scripted")
    link = connection(gateway_type="scripted")
    return Driver(info, link, clock=lambda: NOW, deadlines=deadlines)


def key_of(name: str, kind: str = "api") -> Key:
    return Key(kind, "acme", name)


def create(key: Key, *needs: Key) -> Change:
    wanted = Resource(key, Spec.of({"name": key.name}), SourceRef("x.yaml"))
    return Change(Action.CREATE, key, resource=wanted, depends_on=needs)


def delete(key: Key, *needs: Key) -> Change:
    seen = Observed(key, Spec.of({"name": key.name}), str(key))
    return Change(Action.DELETE, key, observed=seen, depends_on=needs)


def plan_of(*changes: Change) -> Plan:
    return Plan("gw", "scripted", "main@1", changes)


def resolve(wanted: Resource) -> ObjectSpec:
    return ObjectSpec(wanted.key, wanted.key.identifier("o"), "o", wanted.spec.value)


async def run(driver: Driver, *changes: Change, **options: Any) -> list[Outcome]:
    options = {"verify": False, **options}
    return [outcome async for outcome in driver.execute(plan_of(*changes), resolve, **options)]


def item(key: Key, **spec: Any) -> dict[str, Any]:
    return list_item(key, spec, f"id of {key}", managed=True)
