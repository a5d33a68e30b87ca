"""An adapter, its driver and a double of Kong: plan, execute, and look at what is there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.kong.adapter import KongAdapter
from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import AppliedRecord, DesiredState, PlanHints, Resource, SourceRef
from stoa_gitops.planning.inputs import PlanContext
from stoa_gitops.planning.planner import plan_gateway
from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.contract.rig import HMACS, NOW, api, connection, driver_with, http, resolve

MARK = "stoa-managed-by:default"
Specs = dict[Key, dict[str, Any]]

FOREIGN: dict[str, Any] = {
    "_format_version": "3.0",
    "_transform": False,
    "services": [
        {"id": "11111111-0000-4000-8000-000000000001", "name": "theirs", "host": "theirs.example",
         "retries": 7, "tags": ["team:them"], "created_at": 1600000000},
    ],
    "routes": [
        {"id": "11111111-0000-4000-8000-000000000002", "name": "theirs", "paths": ["/theirs"],
         "service": {"id": "11111111-0000-4000-8000-000000000001"}, "created_at": 1600000001},
    ],
    "upstreams": [
        {"id": "11111111-0000-4000-8000-000000000003", "name": "theirs.upstream",
        "created_at": 1600000002},
    ],
    "targets": [
        {"id": "11111111-0000-4000-8000-000000000004", "target": "10.0.0.1:80", "weight": 7,
         "upstream": {"id": "11111111-0000-4000-8000-000000000003"}, "created_at": 1600000003.5},
    ],
    "consumers": [
        {"id": "11111111-0000-4000-8000-000000000005", "username": "them",
        "created_at": 1600000004},
    ],
    "basicauth_credentials": [
        {"id": "11111111-0000-4000-8000-000000000006", "username": "them",
         "password": "e80f30b4dfffb5bcf41153b6593f1d8831cb8808",
         "consumer": {"id": "11111111-0000-4000-8000-000000000005"}, "created_at": 1600000005},
    ],
    "keyauth_credentials": [
        {"id": "11111111-0000-4000-8000-000000000007", "key": "a-foreign-key",
         "consumer": {"id": "11111111-0000-4000-8000-000000000005"}, "created_at": 1600000006},
    ],
    "plugins": [
        {"id": "11111111-0000-4000-8000-000000000008", "name": "http-log",
         "config": {"http_endpoint": "https://log.example/x",
         "headers": {"X-Log": "a-foreign-secret"}},
         "service": {"id": "11111111-0000-4000-8000-000000000001"}, "created_at": 1600000007},
        {"id": "11111111-0000-4000-8000-000000000009", "name": "rate-limiting",
         "config": {"minute": 5, "policy": "redis", "redis": {"host": "redis.example",
         "password": "{vault://env/their-password}"}},
         "consumer": {"id": "11111111-0000-4000-8000-000000000005"}, "created_at": 1600000008},
    ],
    "vaults": [
        {"id": "11111111-0000-4000-8000-00000000000a", "prefix": "my-env", "name": "env",
         "config": {"prefix": "KONG_"}, "created_at": 1600000009},
    ],
}  # fmt: skip


def foreign_for(version: str) -> dict[str, Any]:
    """What somebody else has on a node of this version.

    Before 3.6 the plugin's Redis is written flat.
    """
    # 3.4 and 3.5 know the flat names only.
    if tuple(map(int, version.split("."))) >= (3, 6, 0):
        return FOREIGN
    text = json.dumps(FOREIGN)
    flat = text.replace(
        '"redis": {"host": "redis.example", "password": "{vault://env/their-password}"}',
        '"redis_host": "redis.example", "redis_password": "{vault://env/their-password}"',
    )
    found: dict[str, Any] = json.loads(flat)
    return found


def policy(
    api_name: str, policy_type: str, config: Mapping[str, Any]
) -> tuple[Key, dict[str, Any]]:
    key = Key("policy", "acme", f"{api_name}.{policy_type}")
    return key, {"api": api_name, "type": policy_type, "priority": 100, "config": dict(config)}


def limit(api_name: str, requests: int = 100) -> tuple[Key, dict[str, Any]]:
    return policy(api_name, "rate_limit", {"requests": requests, "window": "1m", "by": "consumer"})


def apis(*names: str, **changes: Any) -> Specs:
    return {Key("api", "acme", name): api(name, **changes) for name in names}


@dataclass
class Testbed:
    """One Kong and who writes to it; `records` is the inventory."""

    # pytest takes every class whose name begins with Test for a class of tests.
    __test__: ClassVar[bool] = False

    double: KongDouble
    base_url: str
    driver: Any = None
    adapter: GatewayAdapter | None = None
    records: dict[Key, AppliedRecord] = field(default_factory=dict)
    hints: Callable[[Key], PlanHints] = lambda key: PlanHints()
    start_anew: Callable[[], Awaitable[None]] = field(init=False)
    """Let the adapter be one that has read nothing yet."""

    async def plan(self, specs: Mapping[Key, Mapping[str, Any]]) -> Plan:
        health = await self.driver.health()
        assert health.success, health.error
        resources = {
            key: Resource(
                key, Spec.of(spec), SourceRef(f"tenants/{key.short}.yaml"), self.hints(key)
            )
            for key, spec in specs.items()
        }
        desired = DesiredState("kong-prod", "default", "main@1", resources)
        actual = await self.driver.observe(self.records, specs)
        context = PlanContext(NOW, secrets=dict(HMACS))
        return plan_gateway(self.driver.plan_input(), desired, actual, self.records, context)

    async def execute(self, plan: Plan) -> list[Outcome]:
        outcomes = [o async for o in self.driver.execute(plan, lambda r: resolve("default", r))]
        for outcome in outcomes:
            change = outcome.change
            if outcome.status is not Status.APPLIED:
                continue
            if change.action is Action.DELETE or change.resource is None:
                self.records.pop(change.key, None)
            else:
                self.records[change.key] = AppliedRecord(
                    change.key,
                    change.resource.spec,
                    outcome.gateway_id,
                    "main@1",
                    dict(change.secret_hmacs),
                )
        return outcomes

    async def converge(self, specs: Mapping[Key, Mapping[str, Any]]) -> list[Outcome]:
        return await self.execute(await self.plan(specs))

    def ours(self, entity_type: str = "services") -> dict[str, dict[str, Any]]:
        """Return our entities of a type by name (or id)."""
        held = self.double.entities.get(entity_type, {})
        return {
            str(e.get("name") or e.get("username") or e["id"]): e
            for e in held.values()
            if MARK in (e.get("tags") or ())
        }

    def foreign(self) -> dict[str, Any]:
        """Return all that is not ours as it is read back, but for the time that Kong rewrites."""
        found = {
            entity_type: {
                ident: {n: v for n, v in entity.items() if n != "updated_at"}
                for ident, entity in held.items()
                if MARK not in (entity.get("tags") or ())
            }
            for entity_type, held in self.double.entities.items()
        }
        return {entity_type: held for entity_type, held in found.items() if held}

    def requests_since(self, start: int = 0) -> list[str]:
        return self.double.requests[start:]

    def count(self, start: str) -> int:
        return sum(line.startswith(start) for line in self.double.requests)


@asynccontextmanager
async def kong(
    version: str = "3.9.1",
    database: Literal["off", "postgres"] = "off",
    double: KongDouble | None = None,
    **options: Any,
) -> AsyncIterator[Testbed]:
    """A world around a double; `options` are those of the gateway's document."""
    double = double or KongDouble(version, database=database)
    runner, base_url = await listening(double.app())
    testbed = Testbed(double, base_url)
    link = connection("kong-prod", "kong", base_url, **options)

    def build(link: Connection) -> GatewayAdapter:
        return KongAdapter(link, KongClient(http(link)))

    async def start_anew() -> None:
        if testbed.driver is not None:
            await testbed.driver.aclose()
        testbed.driver, testbed.adapter = driver_with(info_for("kong"), build, link)

    testbed.start_anew = start_anew
    await start_anew()
    try:
        yield testbed
    finally:
        await testbed.driver.aclose()
        await runner.cleanup()


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {str(o.change.key): o.status.value for o in outcomes}
