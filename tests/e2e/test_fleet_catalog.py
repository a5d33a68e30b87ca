"""What happens to a catalog's repository while gateways fetch what it says."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.adapters.stoa.outgoing import RealGateway, ReloadFailed, started
from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.running import Running, running, until
from tests.e2e.test_fleet import EDGES, KEY, ask, catalog_of
from tests.proxy.control_plane.test_process import gateway as data_plane
from tests.unit.catalog.sources.git_http import serve

HEAD = "apiVersion: gostoa.dev/v1alpha1\n"
OURS = f"""\
{HEAD}kind: GatewayInstance
metadata: {{name: ours}}
spec:
  gatewayType: stoa
  environment: dev
  baseUrl: registered
  registration: {{match: {{type: stoa_proxy}}}}
  backends: {{allow: [127.0.0.0/8]}}
"""


@dataclass
class Repository:
    """A bare repository that a catalog is pushed to, always by force, and may be taken away."""

    work: CatalogFolder
    bare: Path

    def push(self, message: str) -> str:
        """Push what the folder holds as a history of one commit; return its short id."""
        root = self.work.root
        shutil.rmtree(root / ".git", ignore_errors=True)
        self.work.git("init", "-q", "-b", "main")
        self.work.git("add", "-A")
        self.work.git("commit", "-q", "--allow-empty", "-m", message)
        self.work.git("push", "-q", "--force", str(self.bare), "HEAD:refs/heads/main")
        return self.work.git("rev-parse", "--short=7", "HEAD")

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Nobody finds the repository meanwhile."""
        hidden = self.bare.with_name("hidden")
        self.bare.rename(hidden)
        try:
            yield
        finally:
            hidden.rename(self.bare)


@dataclass
class Pulling:
    """Both kinds of gateways that fetch: a real one, and the base URL of one of ours."""

    process: Running
    real: RealGateway
    ours: str
    pulls: int = 0
    refused: int = 0

    async def watch(self) -> None:
        """Pull for ever; AssertionError as soon as one of them has nothing any more."""
        while True:
            try:
                await self.real.pull()
            except ReloadFailed:
                self.refused += 1
            self.pulls += 1
            assert self.real.table, "the real gateway was given an empty list"
            assert await self.answers("orders") == "orders"
            await asyncio.sleep(0.1)

    async def answers(self, api: str) -> str:
        async with httpx.AsyncClient(timeout=30) as client:
            return (await client.get(f"{self.ours}/apis/acme/{api}")).text

    async def has(self, *apis: str) -> None:
        """Wait until both have these APIs and no other."""
        expected = sorted(f"/apis/acme/{api}" for api in apis)

        async def look() -> bool | None:
            with suppress(ReloadFailed):
                await self.real.pull()
            paths = sorted(route["path_prefix"] for route in self.real.table.values())
            served = [await self.answers(api) == api for api in apis]
            return True if paths == expected and all(served) else None

        await until(look, f"{expected} on both gateways")

    async def catalog(self, **fields: Any) -> None:
        """Wait until the status says this of the catalog: True for anything that is not null."""

        async def look() -> bool | None:
            found = (await ask(self.process, "/v1/status"))["catalog"]
            is_there = (
                bool(found[name]) if value is True else says(found[name], value)
                for name, value in fields.items()
            )
            return True if all(is_there) else None

        await until(look, f"{fields} of the catalog")


def says(found: str | None, expected: str | None) -> bool:
    """Whether a field is as expected; a revision is a branch and a commit in one text."""
    return found == expected or bool(found and expected and expected in found)


async def watched(pulling: Pulling, steps: Any) -> None:
    """Run the steps while gateways pull; whatever ends first ends both."""
    watching = asyncio.create_task(pulling.watch())
    doing = asyncio.ensure_future(steps)
    done, waiting = await asyncio.wait({watching, doing}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        task.result()


@pytest.mark.heavy
@pytest.mark.parametrize("transport", ["file", "http"])
async def test_whatever_happens_to_the_repository_gateways_keep_their_tables(
    transport: str, tmp_path: Path
) -> None:
    work = catalog_of(tmp_path)
    work.write("gateways/edges.yaml", EDGES + "  backends: {allow: [127.0.0.0/8]}\n")
    work.write("gateways/ours.yaml", OURS)
    tenant = work.root / "tenants/acme/tenant.yaml"
    tenant.write_text(tenant.read_text().replace("[edges]", "[edges, ours]"))
    bare = tmp_path / "served" / "catalog.git"
    bare.parent.mkdir()
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    repository = Repository(work, bare)
    async with AsyncExitStack() as stack:
        orders = await stack.enter_async_context(upstream("orders"))
        billing = await stack.enter_async_context(upstream("billing"))
        url = f"file://{bare}"
        if transport == "http":
            url = stack.enter_context(serve(bare.parent)).url(bare.name)
        work.api("orders", orders)
        repository.push("first")
        process = await stack.enter_async_context(
            running(url, tmp_path / "state", "--poll", "1s", "--interval", "1s",
                    GATEWAY_API_KEYS=KEY)
        )  # fmt: skip
        real = await stack.enter_async_context(started(process.control, KEY, reload=True))
        ours = await stack.enter_async_context(
            data_plane(
                STOA_CONTROL_PLANE_URL=process.control,
                STOA_CONTROL_PLANE_API_KEY=KEY,
                STOA_ROUTE_RELOAD_INTERVAL_SECS="1",
                STOA_BACKENDS_ALLOW="127.0.0.0/8",
                STOA_STATE_DIR=str(tmp_path / "gateway"),
            )
        )
        pulling = Pulling(process, real, ours.url)
        await pulling.has("orders")

        async def steps() -> None:
            good = work.root.with_name("good")
            shutil.copytree(work.root, good, ignore=shutil.ignore_patterns(".git"))

            def restore() -> None:
                shutil.rmtree(work.root)
                shutil.copytree(good, work.root)

            # Another history with the same name, and one API more.
            work.api("billing", billing)
            revision = repository.push("another history")
            await pulling.catalog(revision=revision)
            await pulling.has("orders", "billing")
            # Emptied: nothing at all, no tenant, and a tenant without its APIs.
            for gone in (".", "tenants", "tenants/acme/apis"):
                for path in list((work.root / gone).iterdir()):
                    if path.name != ".git":
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                revision = repository.push(f"without {gone}")
                await settled(pulling, revision)
                restore()
                work.api("billing", billing)
                revision = repository.push(f"again after {gone}")
                await pulling.catalog(revision=revision, unreadable=None)
                await pulling.has("orders", "billing")
            # Broken, and taken away.
            work.write("tenants/acme/apis/orders/api.yaml", "kind: [")
            work.write("gateways/edges.yaml", "{")
            await settled(pulling, repository.push("broken"))
            async with repository.away():
                await pulling.catalog(unreadable=True)
            restore()
            async with repository.away():
                await pulling.catalog(unreadable=True)
            # The branch alone is gone.
            subprocess.run(["git", "update-ref", "-d", "refs/heads/main"], cwd=bare, check=True)
            await pulling.catalog(unreadable=True)
            work.api("shipping", billing)
            revision = repository.push("restored")
            await pulling.catalog(revision=revision, unreadable=None)

        await watched(pulling, steps())
        paths = sorted(route["path_prefix"] for route in real.table.values())
        assert "/apis/acme/orders" in paths
        assert pulling.pulls > 10


async def settled(pulling: Pulling, revision: str) -> None:
    """Wait until a reading of a revision has ended, in whatever way, and a cycle after it."""

    async def look() -> bool | None:
        status = await ask(pulling.process, "/v1/status")
        catalog = status["catalog"]
        return True if says(catalog["revision"], revision) or catalog["unreadable"] else None

    await until(look, f"a reading of {revision}")
    pulls = pulling.pulls

    async def more() -> bool | None:
        return True if pulling.pulls >= pulls + 15 else None

    await until(more, "pulls after it")
