"""Gateways of three makes that one catalog in a folder drives: Kong, Gravitee and webMethods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from stoa_gitops.catalog import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.operations.plan import plan_gateways
from stoa_gitops.operations.reconcile import reconcile_gateway
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.selection import Selection
from stoa_gitops.reconcile.session import Assignment
from tests.adapters.front import listening
from tests.adapters.gravitee.double import GraviteeDouble
from tests.adapters.kong.double import KongDouble
from tests.adapters.webmethods.double import WebMethodsDouble
from tests.scenarios.fleet_world import document
from tests.scenarios.world import Clock

MAKES: Final = ("kong", "gravitee", "webmethods")
TOKEN: Final = "token-of-the-platform"
AUTH: Final[Mapping[str, str]] = {
    "kong": "",
    "gravitee": "auth: {type: bearer, tokenRef: {env: GRAVITEE_TOKEN}}",
    "webmethods": (
        "auth: {type: basic, usernameRef: {env: WM_USER}, passwordRef: {env: WM_PASSWORD}}"
    ),
}
SECRETS: Final = {
    "GRAVITEE_TOKEN": TOKEN, "WM_USER": "Administrator", "WM_PASSWORD": "manage",
}  # fmt: skip


@dataclass
class Gateway:
    """One double; `person` speaks to its admin API by hand."""

    name: str
    make: str
    double: Any
    person: httpx.AsyncClient

    def writes(self) -> list[str]:
        """The writes since the last call."""
        found = [line for line in self.double.requests if not line.startswith(("GET", "HEAD"))]
        self.double.requests.clear()
        # Searching is no write on webMethods.
        return [line for line in found if not line.endswith("/search")]


@dataclass
class MakesWorld:
    """A catalog on disk and gateways called `<make>-<environment>`, with one process."""

    folder: Path
    gateways: dict[str, Gateway] = field(default_factory=dict)
    reader: Reader = field(default_factory=catalog_reader)
    clock: Clock = field(default_factory=Clock)
    workspace: Workspace = field(init=False)

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files of the catalog; None removes one."""
        for path, text in files.items():
            target = self.folder / "catalog" / path
            if text is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")

    def read(self) -> Catalog:
        return self.reader.read(FolderSource(self.folder / "catalog").snapshot())

    async def plans(self) -> dict[str, Plan]:
        """Return the plan of each gateway by name, as `plan` makes them."""
        found = await plan_gateways(self.workspace, self.read(), Selection())
        return {plan.gateway: plan for plan in found.plans.plans}

    async def cycle(self, *names: str) -> dict[str, CycleResult]:
        """Run one cycle of these gateways, or of all."""
        catalog = self.read()
        return {
            one.name: await reconcile_gateway(
                self.workspace,
                catalog,
                Assignment(one, catalog.desired[one.name], BrokenScope.of(catalog)),
            )
            for one in catalog.gateways
            if not names or one.name in names
        }

    async def converged(self) -> None:
        """Cycle until nothing is left to do on any gateway; three are always enough."""
        for _ in range(3):
            results = await self.cycle()
            if not any(result.report.outcomes for result in results.values()):
                return
        raise AssertionError({n: r.report.outcomes for n, r in results.items()})

    async def held(self, name: str) -> dict[Key, JsonObject]:
        """What a gateway holds of ours, in the canonical form."""
        catalog = self.read()
        instance = next(one for one in catalog.gateways if one.name == name)
        session = await self.workspace.session(catalog, instance)
        await session.check_health()
        seen = await session.observe_all()
        assert seen.is_complete, seen.error
        return {one.key: one.spec.value for one in seen.objects if one.managed}


@asynccontextmanager
async def makes_world(
    folder: Path,
    environments: Iterable[str],
    monkeypatch: pytest.MonkeyPatch,
    gravitee: Mapping[str, Any] | None = None,
    makes: Iterable[str] = MAKES,
) -> AsyncIterator[MakesWorld]:
    """Yield a gateway of each make for each environment; `gravitee` are options of its doubles."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    world = MakesWorld(folder)
    async with AsyncExitStack() as stack:
        for environment in environments:
            for make in makes:
                double = _double(make, gravitee or {})
                runner, base_url = await listening(double.app())
                stack.push_async_callback(runner.cleanup)
                person = httpx.AsyncClient(base_url=base_url, timeout=30, **_person(make))
                await stack.enter_async_context(person)
                name = f"{make}-{environment}"
                world.gateways[name] = Gateway(name, make, double, person)
                spec = f"gatewayType: {make}\nenvironment: {environment}\nbaseUrl: {base_url}\n"
                text = document("GatewayInstance", name, spec + AUTH[make])
                world.write({f"gateways/{name}.yaml": text})
        async with Workspace.open(folder / "state", clock=world.clock) as workspace:
            world.workspace = workspace
            yield world


def _double(make: str, gravitee: Mapping[str, Any]) -> Any:
    if make == "kong":
        return KongDouble("3.9.1", database="postgres")
    if make == "gravitee":
        return GraviteeDouble(**{"version": "4.12.12", "tokens": {TOKEN: "admin"}, **gravitee})
    return WebMethodsDouble("11")


def _person(make: str) -> dict[str, Any]:
    if make == "gravitee":
        return {"headers": {"Authorization": f"Bearer {TOKEN}"}}
    if make == "webmethods":
        return {
            "auth": (SECRETS["WM_USER"], SECRETS["WM_PASSWORD"]),
            "headers": {"Accept": "application/json"},
        }
    return {}
