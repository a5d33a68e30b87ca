"""From a catalog in a folder, by the command line, to a double of webMethods API Gateway."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.adapters.webmethods.double import WebMethodsDouble
from tests.adapters.webmethods.testbed import Person, person_at
from tests.e2e.catalogs import CatalogFolder
from tests.e2e.running import run_command

GATEWAY = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {{name: wm-prod}}
spec:
  gatewayType: webmethods
  environment: prod
  baseUrl: {admin}
  auth: {{type: basic, usernameRef: {{env: WM_USER}}, passwordRef: {{env: WM_PASSWORD}}}}
"""
TENANT = """\
apiVersion: gostoa.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {displayName: Acme, gateways: [wm-prod]}
"""
SECRETS = {"WM_USER": "Administrator", "WM_PASSWORD": "manage"}


@dataclass
class WebMethods:
    """A person at a gateway, and a catalog for it."""

    person: Person
    catalog: CatalogFolder
    where: tuple[str, ...]

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await run_command(*arguments, *self.where, **SECRETS)


@asynccontextmanager
async def bed(tmp_path: Path, double: WebMethodsDouble) -> AsyncIterator[WebMethods]:
    async with person_at(double) as person:
        catalog = CatalogFolder(tmp_path / "c")
        (catalog.root / "gateways/local.yaml").unlink()
        catalog.write("gateways/wm-prod.yaml", GATEWAY.format(admin=person.http.base_url))
        catalog.write("tenants/acme/tenant.yaml", TENANT)
        catalog.api("billing", "https://billing.example")
        where = ("--catalog", str(catalog.root), "--state", str(tmp_path / "state"))
        yield WebMethods(person, catalog, where)


@asynccontextmanager
async def kong_admin() -> AsyncIterator[str]:
    runner, url = await listening(KongDouble().app())
    try:
        yield url
    finally:
        await runner.cleanup()


@pytest.mark.heavy
async def test_a_gateway_is_exported_into_a_private_file(tmp_path: Path) -> None:
    async with bed(tmp_path, WebMethodsDouble("10.15")) as here:
        file = tmp_path / "backup.zip"
        code, out, err = await here.run("gateways", "export", "wm-prod")
        assert (code, out) == (64, "")
        assert "name one with --out" in err
        to = ("--out", str(file))
        here.person.double.is_expired = True
        code, _, err = await here.run("gateways", "export", "wm-prod", *to)
        assert (code, list(tmp_path.glob("*backup*"))) == (1, []), err
        here.person.double.is_expired = False
        code, out, err = await here.run("gateways", "export", "wm-prod", *to)
        assert (code, out) == (0, ""), err
        assert "keep it as you keep secrets" in err
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "APIGatewayAssets.acdl" in zipfile.ZipFile(file).namelist()
        code, _, err = await here.run("gateways", "export", "wm-prod", *to)
        assert (code, "exists already" in err) == (64, True)


async def test_a_plan_is_applied_as_one_archive_and_a_live_api_stays_up(tmp_path: Path) -> None:
    async with bed(tmp_path, WebMethodsDouble("10.15")) as here:
        code, out, err = await here.run("apply", "--yes", "--via", "archive")
        assert code == 0, out + err
        (api,) = here.person.double.store.apis
        assert api["isActive"]
        here.catalog.api("billing", "https://billing.example", "  description: Invoices\n")
        here.person.writes()
        code, out, err = await here.run("apply", "--yes", "--via", "archive")
        assert code == 0, out + err
        writes = here.person.writes()
        assert "POST /archive" in writes
        assert not [line for line in writes if "activate" in line]
        assert api["id"] == here.person.double.store.record("apis", api["id"])["id"]
        code, out, _ = await here.run("plan", "--detailed-exitcode")
        assert code == 0, out


async def test_a_gateway_that_imports_no_archives_refuses_the_flag(tmp_path: Path) -> None:
    kong = GATEWAY.replace("wm-prod", "kong-prod").replace("webmethods", "kong")
    async with bed(tmp_path, WebMethodsDouble("10.15")) as here, kong_admin() as url:
        here.catalog.write("gateways/kong-prod.yaml", kong.format(admin=url))
        code, _, err = await here.run("apply", "--yes", "--via", "archive")
        assert code == 64
        assert "kong-prod (kong) imports no archives" in err
        assert not list(here.person.double.store.apis)
        code, out, err = await here.run(
            "apply", "--yes", "--via", "archive", "--gateway", "wm-prod"
        )
        assert code == 0, out + err
