"""A double with an adapter before it, and a person who changes things by hand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import Key
from tests.adapters.gravitee.double import GraviteeDouble
from tests.adapters.gravitee.rig import APIS, gravitee_rig
from tests.contract.rig import MOBILE, TOKEN, Rig

WRITES = ("POST", "PUT", "DELETE", "PATCH")


@dataclass
class Bed:
    """`double` behind `rig`; `person` speaks to the same gateway."""

    double: GraviteeDouble
    rig: Rig
    person: httpx.AsyncClient

    def writes(self) -> list[str]:
        """The writes that the gateway got since the last call, each without its prefix."""
        found = [line for line in self.double.requests if line.startswith(WRITES)]
        self.double.requests.clear()
        shorter = [
            line.replace(APIS, "").replace(
                "/automation/organizations/DEFAULT/environments/DEFAULT", "automation"
            )
            for line in found
        ]
        return [_without_ids(line) for line in shorter]

    @property
    def specs(self) -> dict[Key, dict[str, Any]]:
        """The small catalog, with an application that subscribes to the plan."""
        specs = self.rig.specs
        named = [{"api": "billing", "plan": "gold"}]
        return {**specs, MOBILE: {**specs[MOBILE], "subscriptions": named}}

    def api(self, name: str) -> Any:
        """What the double holds of the API of this display name."""
        return next(api for api in self.double.store.apis.values() if api.spec["name"] == name)

    def keys(self) -> dict[str, bool]:
        """Every key of the gateway, and whether it works."""
        held = self.double.store.subscriptions.values()
        return {
            key.key: not key.is_revoked and one.status == "ACCEPTED"
            for one in held
            for key in one.keys
        }


def _without_ids(line: str) -> str:
    parts = line.split("/")
    return "/".join("…" if len(part) == 36 and part.count("-") == 4 else part for part in parts)


@asynccontextmanager
async def bed(
    version: str = "4.12.12",
    settings: JsonObject | None = None,
    clock: Callable[[], float] = time.monotonic,
    **options: Any,
) -> AsyncIterator[Bed]:
    """Yield a double of a version; `settings` are the adapter's options, `options` the double's."""
    double = GraviteeDouble(version, **options)
    async with gravitee_rig(double, version, settings, clock) as rig:
        health = await rig.driver.health()
        assert health.success, health.error
        # The person goes past the front, which plays the network of the adapter.
        base_url = rig.driver.connection.base_url.rstrip("/")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(timeout=30, base_url=base_url, headers=headers) as person:
            yield Bed(double, rig, person)


CLASSIC: dict[str, Any] = {"has_automation": False, "has_import": False}
