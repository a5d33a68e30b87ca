"""A gateway that outlives the killed process, two revisions of a catalog, and the checks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from stoa_proxy.app import Gateway

from stoa_gitops.adapters.registry import unsupported
from stoa_gitops.catalog import Reader, open_source
from stoa_gitops.model.outcomes import ReportSet
from stoa_gitops.operations.apply import apply_plans
from stoa_gitops.operations.plan import plan_gateways
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.reconcile.lease import TTL
from stoa_gitops.reconcile.selection import EVERYTHING
from tests.children import environment, run_in_turn
from tests.e2e.catalogs import MAY_BE_EMPTY, CatalogFolder
from tests.e2e.gateways import TOKEN, document

BACKEND = "http://backend.example.org"
LIMIT = "  policies:\n    - {type: rate_limit, config: {requests: %d, window: 1m}}\n"
PLANS = "  plans:\n    - {name: gold, perMinute: 60}\n"
APPLICATION = """\
apiVersion: gostoa.dev/v1alpha1
kind: Application
metadata: {name: %s}
spec:
  displayName: An application
  owner: team@acme.example
  credentials: [{type: api_key, keyRef: {env: ACME_KEY_OF_%s}}]
  subscriptions: [{api: sold, plan: gold}]
"""
NAMED = "apiVersion: gostoa.dev/v1alpha1\nkind: Catalog\nmetadata: {name: crashing}\nspec: {}\n"
UNGUARDED = "  prune: {maxPercent: 100}\n"
"""Edits pile up while processes die early, and may delete more than the budget allows."""

FOREIGN = {
    "id": "somebody-elses",
    "name": "theirs",
    "tenant_id": "other",
    "path_prefix": "/theirs",
    "backend_url": "http://theirs.example.org",
    "methods": ["GET"],
    "spec_hash": "x",
    "activated": True,
}
SECRETS = {
    "GATEWAY_TOKEN": TOKEN,
    "ACME_KEY_OF_FIRST": "a-key-for-tests",
    "ACME_KEY_OF_SECOND": "another-key",
}


def application(name: str) -> str:
    return APPLICATION % (name, name.upper())


@dataclass
class World:
    """Everything that outlives the process that is killed."""

    gateway: Gateway
    catalog: CatalogFolder
    state: Path
    foreign: Any = None

    @classmethod
    async def make(cls, gateway: Gateway, folder: Path) -> World:
        """Lay out the first revision and put a foreign object on the gateway."""
        catalog = CatalogFolder(folder / "catalog")
        catalog.write("gateways/local.yaml", document("local", gateway.base_url, UNGUARDED))
        catalog.write("tenants/acme/tenant.yaml", MAY_BE_EMPTY)
        # Its own name: what a killed process wrote and did not record is known by its mark.
        catalog.write("catalog.yaml", NAMED)
        world = cls(gateway, catalog, folder / "state")
        await world.admin("POST", "/apis", FOREIGN)
        world.foreign = await world.theirs()
        world.write_first()
        return world

    def write_first(self) -> None:
        """APIs that will stay, change and go, one of them sold to an application."""
        self.catalog.api("stays", BACKEND)
        self.catalog.api("changes", BACKEND, LIMIT % 10)
        self.catalog.api("goes", BACKEND, LIMIT % 10)
        self.catalog.api("sold", BACKEND, PLANS)
        self.catalog.write("tenants/acme/applications/first.yaml", application("first"))

    def write_second(self) -> None:
        """Create, update and delete some of each kind."""
        self.catalog.api("changes", BACKEND + "/v2", LIMIT % 20)
        (self.catalog.root / "tenants/acme/apis/goes/api.yaml").unlink()
        for number in range(3):
            self.catalog.api(f"new-{number}", BACKEND, LIMIT % 5)
        self.catalog.write("tenants/acme/applications/second.yaml", application("second"))

    def arguments(self) -> list[str]:
        return [
            "run", "--once", "--catalog", str(self.catalog.root), "--state", str(self.state),
            "--control-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0",
        ]  # fmt: skip

    async def run(self, *command: str) -> tuple[int, str]:
        """Run `python -m COMMAND` to its end; return its exit code and what it said."""
        done = await run_in_turn(*command, env=environment(**SECRETS))
        return done.returncode, done.stdout + done.stderr

    async def start_again(self) -> None:
        """Start a second time, as it is meant to be started; it must converge."""
        code, said = await self.run("stoa_gitops", *self.arguments())
        assert code == 0, said

    async def apply(self) -> ReportSet:
        """Apply within this process."""
        async with Workspace.open(self.state) as workspace:
            prepared = await plan_gateways(workspace, self._read(), EVERYTHING)
            return await apply_plans(workspace, prepared, workspace.context.principal)

    async def check(self) -> None:
        """What must be true after a process was killed and another one ran: see the assertions."""
        read = self._read()
        wanted = read.desired["local"].resources.keys()
        async with Workspace.open(self.state) as workspace:
            made = await plan_gateways(workspace, read, EVERYTHING)
            assert made.plans.is_empty, made.plans
            assert not made.prepared[0].inventory_updates, (
                "the store must know what is on the gateway"
            )
            store = workspace.context.store
            (scope,) = await store.list_scopes(read.owner)
            assert (await store.load_records(scope)).keys() == wanted
            # The lease of a dead process can be taken at once.
            now = workspace.context.clock()
            lease = await store.acquire_lease("local", "test", TTL, now)
            await store.release_lease(lease)
        assert await self.theirs() == self.foreign
        routes = await self.admin("GET", "/apis")
        ours = Counter(r["path_prefix"] for r in routes if r["id"] != FOREIGN["id"])
        apis = {key.name for key in wanted if key.kind == "api"}
        assert ours == Counter(f"/apis/acme/{name}" for name in apis)
        policies = await self.admin("GET", "/policies")
        assert len(policies) == sum(key.kind == "policy" for key in wanted)
        consumers = await self.admin("GET", "/consumers")
        assert sorted(c["name"] for c in consumers) == sorted(
            key.name for key in wanted if key.kind == "application"
        )
        json.loads((self.state / "last-good.json").read_text())

    async def theirs(self) -> Any:
        return [r for r in await self.admin("GET", "/apis") if r["id"] == FOREIGN["id"]]

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.gateway.base_url}/admin{path}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.request(method, url, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def _read(self) -> Any:
        source = open_source(str(self.catalog.root), cache_dir=self.state / "catalogs")
        return Reader(unsupported=unsupported).read(source.snapshot())
