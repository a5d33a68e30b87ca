"""One session on a gateway in memory and a real store: state in, one step, state out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.memory.server import MemoryGateway, drop_gateway, gateway_named
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.model.keys import Key
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.model.resources import DesiredState, Resource
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.session import Assignment, GatewaySession, SessionContext
from stoa_gitops.secrets import SecretPlaces, SecretResolver
from stoa_gitops.store import Store
from stoa_gitops.store.sqlite import SqliteStore
from tests.unit.reconcile.world import KONG, NOW


@dataclass
class Rig:
    """A session with what it works on; `now` is the wall clock."""

    store: Store
    gateway: MemoryGateway
    driver: Driver
    cache: PlanCache = field(default_factory=PlanCache)
    now: datetime = NOW
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def clock(self) -> datetime:
        return self.now

    def turn(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    @property
    def context(self) -> SessionContext:
        principal = Principal("anna@laptop", PrincipalKind.LOCAL_USER)
        return SessionContext(
            self.store, SecretResolver(SecretPlaces(), self.env), self.clock, principal
        )

    @property
    def session(self) -> GatewaySession:
        return GatewaySession(self.driver, self.context, self.cache)

    def assignment(self, *resources: Resource, revision: str = "main@1") -> Assignment:
        wanted: dict[Key, Resource] = {one.key: one for one in resources}
        instance = self.driver.connection.instance
        return Assignment(instance, DesiredState(instance.name, "default", revision, wanted))


@asynccontextmanager
async def rig(
    folder: Path, *, base_url: str = KONG.base_url, registration_id: str = ""
) -> AsyncIterator[Rig]:
    """Open a store in the folder and a gateway that is named after it."""
    name = str(folder)
    instance = replace(
        KONG, options={"state": name}, base_url=base_url, registration_id=registration_id
    )
    store = await SqliteStore.open(folder / "state", clock=lambda: NOW)
    driver = Driver(
        info_for("memory"), Connection(instance, base_url, "default"), clock=lambda: NOW
    )
    try:
        yield Rig(store, gateway_named(name), driver)
    finally:
        await driver.aclose()
        await store.close()
        drop_gateway(name)
