"""A double with an adapter before it, and a person who changes things by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from stoa_gitops.model.keys import Key
from tests.adapters.webmethods.double import WebMethodsDouble, runtime
from tests.adapters.webmethods.double.app import BASE
from tests.adapters.webmethods.rig import webmethods_rig
from tests.adapters.webmethods.testbed import Person, without_ids
from tests.contract.rig import MOBILE, Rig

WRITES = ("POST ", "PUT ", "DELETE ", "PATCH ")


@dataclass
class Bed:
    """`double` behind `rig`; `person` speaks to the same gateway."""

    double: WebMethodsDouble
    rig: Rig
    person: Person

    def writes(self) -> list[str]:
        """The writes since the last call, without prefix and ids."""
        found = [line for line in self.double.requests if line.startswith(WRITES)]
        self.double.requests.clear()
        return [without_ids(line.replace(BASE, "")) for line in found if "/search" not in line]

    @property
    def specs(self) -> dict[Key, dict[str, Any]]:
        """The small catalog, with an application that subscribes to the plan."""
        specs = self.rig.specs
        named = [{"api": "billing", "plan": "gold"}]
        return {**specs, MOBILE: {**specs[MOBILE], "subscriptions": named}}

    def api(self, name: str) -> dict[str, Any]:
        """What the double holds of an API by its name."""
        return next(api for api in self.double.store.apis if api["apiName"] == name)

    def names(self) -> list[str]:
        return sorted(api["apiName"] for api in self.double.store.apis)

    def actions(self, name: str, template: str = "") -> list[dict[str, Any]]:
        """The actions that are enforced at an API."""
        found = runtime.actions_of(self.double.store, self.api(name))
        return [one for one in found if template in ("", one["templateKey"])]

    def keys(self, name: str) -> set[str]:
        """The keys of the catalog that let in at an API."""
        known = {"mobile-key-1", "billing-key-1"}
        return runtime.accepted_keys(self.double.store, self.api(name)) & known

    def strays(self) -> list[str]:
        """Actions that no policy has."""
        store = self.double.store
        placed = {key for policy in store.policies for key in store.action_ids(policy)}
        return [one["id"] for one in store.actions if one["id"] not in placed]


@asynccontextmanager
async def bed(version: str = "10.15") -> AsyncIterator[Bed]:
    double = WebMethodsDouble(version)
    async with webmethods_rig(double, version) as (rig, person):
        health = await rig.driver.health()
        assert health.success, health.error
        yield Bed(double, rig, person)
