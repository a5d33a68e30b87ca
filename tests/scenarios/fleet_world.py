"""Gateways that fetch what a catalog in a folder says: everything of a process but HTTP."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stoa_gitops.catalog import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.daemon.published_tables import PublishedTables
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.errors import CatalogError
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.conditions import Condition
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.operations.plan import prepare_gateway_plan
from stoa_gitops.operations.reconcile import reconcile_gateway
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood, fill_from_last_good
from stoa_gitops.reconcile.forced import Forced
from stoa_gitops.reconcile.selection import Selection
from stoa_gitops.reconcile.session import Assignment
from stoa_gitops.reconcile.status import StatusRegistry
from tests.scenarios.world import Clock

OURS = (
    "table", "api_id", "hosts", "strip_path", "timeout", "retries", "fallback", "backend_auth",
    "plans", "metadata", "builtin_echo", "consumers", "websocket", "batch", "access",
    "policy:headers", "policy:rate_limit", "policy:api_key", "policy:cors",
)  # fmt: skip
"""What the data plane of this project names when it registers."""

EDGE = "gatewayType: stoa_edge_mcp\nenvironment: prod\nregistration: {match: {}}"
HEAD = "apiVersion: gostoa.dev/v1alpha1\n"


def document(kind: str, name: str, spec: str = "") -> str:
    inner = "".join(f"  {line}\n" for line in spec.splitlines())
    return f"{HEAD}kind: {kind}\nmetadata: {{name: {name}}}\nspec:{'' if inner else ' {}'}\n{inner}"


def api(name: str, tenant: str = "acme", more: str = "", backend: str = "https://b.example") -> str:
    spec = f'version: "1"\nbackend: {{url: {backend}}}\nroutes: [{{path: /apis/{tenant}/{name}}}]'
    return document("API", name, f"{spec}\n{more}")


@dataclass
class FleetWorld:
    """A catalog on disk, the gateways that have registered, and one process after another."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    members: dict[str, Registration] = field(default_factory=dict)
    seconds: float = 0.0
    offline: set[str] = field(default_factory=set)
    reader: Reader = field(default_factory=catalog_reader)
    last_good: LastKnownGood | None = None
    workspace: Workspace = field(init=False)
    registered: RegisteredGateways = field(init=False)
    published: PublishedTables = field(init=False)
    statuses: StatusRegistry = field(init=False)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[FleetWorld]:
        """A new process on the same state folder; nothing is read yet."""
        async with Workspace.open(self.folder / "state", clock=self.clock) as workspace:
            self.workspace = workspace
            self.reader = catalog_reader()
            self.statuses = StatusRegistry(self.clock)
            self.registered = RegisteredGateways(lambda: self.members.values())
            self.published = PublishedTables(
                workspace.context.store,
                self.registered,
                self.statuses,
                self.clock,
                lambda: self.seconds,
                lambda gateway_id: gateway_id not in self.offline,
            )
            workspace.inside = self.published.admin_of
            yield self

    # the catalog

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files of the catalog; None removes one, or a folder."""
        for path, text in files.items():
            target = self.folder / "catalog" / path
            if text is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            elif target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()

    def read(self) -> Catalog:
        """Read the catalog as the process does, with the last good one for what is broken."""
        try:
            catalog = self.reader.read(FolderSource(self.folder / "catalog").snapshot())
        except CatalogError:
            assert self.last_good is not None
            catalog = self.last_good.catalog()
        catalog = fill_from_last_good(catalog, self.last_good)
        self.last_good = LastKnownGood.of(catalog) or self.last_good
        expanded = self.registered.expand(catalog)
        self.statuses.publish_catalog(expanded, Selection().of(expanded))
        return expanded

    # gateways

    def register(self, host: str, *, ours: bool = True, **fields: Any) -> str:
        """Register a gateway of ours or a real one in mode edge-mcp; return its id."""
        extensions = OURS if ours else ()
        version = "0.1.0" if ours else "0.9.25"
        options = {"version": version, "extensions": extensions, **fields}
        options.setdefault("admin_url", f"http://{host}:8080")
        environment = options.pop("environment", "prod")
        made = Registration.named(host, Mode.EDGE_MCP, environment, **options)
        self.members[made.id] = made
        return made.id

    def name(self, gateway_id: str) -> str:
        binding = self.registered.find(gateway_id)
        assert binding is not None
        return binding.name

    async def cycle(self, gateway_id: str, *, force: bool = False) -> CycleResult:
        """Run one cycle of a gateway as its worker does; or apply as a person who forces it."""
        return await self._run(gateway_id, is_asked=True, force=force)

    async def check(self, gateway_id: str) -> CycleResult:
        """Do what is done at the interval: run a cycle, unless nothing moved since the last."""
        return await self._run(gateway_id, is_asked=False)

    async def _run(self, gateway_id: str, *, is_asked: bool, force: bool = False) -> CycleResult:
        name = self.name(gateway_id)
        catalog, instance = self.statuses.catalog, self.statuses.find(name)
        assert catalog is not None
        assert instance is not None
        await self.published.prepare(instance)
        assignment = Assignment(instance, catalog.desired[name], BrokenScope.of(catalog))
        forced = None
        if force:
            prepared = await prepare_gateway_plan(self.workspace, catalog, instance)
            digest = PlanSet(prepared.plan.revision, (prepared.plan,)).digest
            forced = Forced(digest[:8], Principal("anna", PrincipalKind.LOCAL_USER))
        draft, is_published = self.published.draft_of(instance)
        is_asked = is_asked or not is_published
        result = await reconcile_gateway(
            self.workspace, catalog, assignment, forced, draft, is_asked=is_asked
        )
        self.statuses.add_result(name, result)
        if not result.is_settled:
            await self.published.publish(instance, result)
        return result

    async def commit(self, files: Mapping[str, str | None], *gateways: str) -> None:
        """Write files, read the catalog, and run a cycle of each gateway."""
        self.write(files)
        self.read()
        for gateway_id in gateways:
            await self.cycle(gateway_id)

    async def routes(self, gateway_id: str) -> list[dict[str, Any]]:
        """What a real gateway gets."""
        items: list[dict[str, Any]] = json.loads((await self.published.routes(gateway_id)).body)
        return items

    async def table(self, gateway_id: str) -> dict[str, list[dict[str, Any]]]:
        """What a gateway of ours gets, by kind."""
        lines = (await self.published.table(gateway_id)).body.splitlines()
        assert json.loads(lines[0])["stoa_proxy_table"] == 1
        found: dict[str, list[dict[str, Any]]] = {"apis": [], "policies": [], "consumers": []}
        for line in lines[1:-1]:
            for kind, view in json.loads(line).items():
                found[kind].append(view)
        return found

    async def paths(self, gateway_id: str) -> list[str]:
        """The paths of the routes that a gateway gets, sorted."""
        if self.members[gateway_id].has_table:
            items = (await self.table(gateway_id))["apis"]
        else:
            items = await self.routes(gateway_id)
        return sorted(str(item.get("path_prefix", item["id"])) for item in items)

    def condition(self, gateway_id: str, kind: str) -> Condition:
        found = self.statuses.conditions(self.name(gateway_id))
        return next(one for one in found if one.type == kind)


def usual_files(*apis: str, tenant: str = "acme") -> dict[str, str | None]:
    """A catalog with one document for all edge gateways of prod, and a tenant with these APIs."""
    files: dict[str, str | None] = {
        "gateways/edge.yaml": document("GatewayInstance", "edge", EDGE),
        f"tenants/{tenant}/tenant.yaml": document("Tenant", tenant, "gateways: [edge]"),
    }
    for name in apis:
        files[f"tenants/{tenant}/apis/{name}/api.yaml"] = api(name, tenant)
    return files
