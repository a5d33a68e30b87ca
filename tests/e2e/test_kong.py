"""From a catalog in a folder, by the command line, to a double of a Kong node and its proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.testbed import FOREIGN
from tests.e2e.catalogs import CatalogFolder
from tests.e2e.running import run_command, running, until
from tests.e2e.test_render import JsonFile

SECRETS = {"ACME_BILLING_KEY": "a-backend-secret", "ACME_MOBILE_KEY": "a-mobile-secret"}
GATEWAY = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {{name: kong-prod}}
spec:
  gatewayType: kong
  environment: prod
  baseUrl: {admin}
  publicUrl: {proxy}
  interval: 1s
"""
TENANT = """\
apiVersion: gostoa.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {displayName: Acme, gateways: [kong-prod]}
"""
BILLING = """\
  plans: [{name: gold, perMinute: 60}]
  probe: {path: /health, expect: 401}
  policies:
    - {type: cors, config: {origins: ["https://app.example.com"], maxAge: 1h}}
    - {type: rate_limit, onUnsupported: warn, config: {requests: 100, window: 1m, burst: 20}}
"""
APPLICATION = """\
apiVersion: gostoa.dev/v1alpha1
kind: Application
metadata: {name: mobile}
spec:
  credentials: [{type: api_key, keyRef: {env: ACME_MOBILE_KEY}}]
  subscriptions: [{api: billing, plan: gold}]
"""
AUTH = "auth: {in: header, name: X-Key, valueRef: {env: ACME_BILLING_KEY}}"
BACKEND = f"https://billing.example.com/v2, {AUTH}"


@dataclass
class Kong:
    """A double, its proxy's address, a catalog for it."""

    double: KongDouble
    proxy: str
    catalog: CatalogFolder
    state: Path

    @property
    def where(self) -> tuple[str, ...]:
        return "--catalog", str(self.catalog.root), "--state", str(self.state)

    async def call(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.get(self.proxy + path, headers=headers)


@asynccontextmanager
async def kong(folder: Path, lag: int = 0) -> AsyncIterator[Kong]:
    double = KongDouble("3.9.1")
    double.load(FOREIGN)
    admin, admin_url = await listening(double.app())
    proxy, proxy_url = await listening(double.proxy_app(lag))
    catalog = CatalogFolder(folder / "catalog")
    (catalog.root / "gateways/local.yaml").unlink()
    catalog.write("gateways/kong.yaml", GATEWAY.format(admin=admin_url, proxy=proxy_url))
    catalog.write("tenants/acme/tenant.yaml", TENANT)
    catalog.write("tenants/acme/applications/mobile.yaml", APPLICATION)
    catalog.api("billing", BACKEND, BILLING)
    try:
        yield Kong(double, proxy_url, catalog, folder / "state")
    finally:
        await admin.cleanup()
        await proxy.cleanup()


async def test_a_catalog_is_planned_applied_and_called_and_theirs_goes_on(tmp_path: Path) -> None:
    async with kong(tmp_path) as one:
        code, plan, _ = await run_command("plan", *one.where, **SECRETS)
        assert code == 0
        assert "kong 3.9.1 (document writes, paths as regular expressions)" in plan
        assert "warning: policy/acme/billing.rate_limit: burst is left out" in plan
        code, out, err = await run_command("apply", "--yes", *one.where, **SECRETS)
        assert code == 0, out + err
        assert "kong-prod : ok=0 changed=5 unreachable=0 failed=0" in out
        assert len(one.double.posts) == 1
        key = {"X-API-Key": SECRETS["ACME_MOBILE_KEY"]}
        assert (await one.call("/apis/acme/billing/x")).status_code == 401
        good = await one.call("/apis/acme/billing/x", **key)
        assert (good.json()["consumer"], good.json()["path"]) == ("acme.mobile", "/v2/x")
        assert (await one.call("/apis/acme/billingx", **key)).status_code == 404
        assert (await one.call("/theirs/x")).json()["service"]["name"] == "theirs"
        code, plan, _ = await run_command("plan", *one.where, **SECRETS)
        assert "no changes, 5 unchanged" in plan
        written = b"".join(f.read_bytes() for f in one.state.rglob("*") if f.is_file())
        said = (plan + out + err).encode() + written
        assert not [secret for secret in SECRETS.values() if secret.encode() in said]


async def test_a_probe_waits_until_all_workers_have_the_new_routes(tmp_path: Path) -> None:
    async with kong(tmp_path, lag=6) as one:
        code, out, err = await run_command("apply", "--yes", *one.where, **SECRETS)
        assert code == 0, out + err


@pytest.mark.heavy
async def test_a_probe_that_is_not_answered_as_declared_fails_that_api_alone(
    tmp_path: Path,
) -> None:
    async with kong(tmp_path) as one:
        one.catalog.api("crm", "https://crm.example.com", "  probe: {path: /up, expect: 204}\n")
        code, out, _ = await run_command("apply", "--yes", *one.where, **SECRETS)
        assert code == 3
        assert "changed=5 unreachable=0 failed=1" in out
        assert "GET /apis/acme/crm/up through" in out
        assert "was answered with 200" in out


async def test_the_process_follows_the_catalog_and_brings_back_what_a_node_lost(
    tmp_path: Path,
) -> None:
    async with kong(tmp_path) as one:

        async def is_there(path: str) -> bool | None:
            return True if (await one.call(path)).status_code != 404 else None

        async with running(one.catalog.root, one.state, **SECRETS):
            await until(lambda: is_there("/apis/acme/billing"), "the first document")
            one.catalog.api("crm", "https://crm.example.com")
            await until(lambda: is_there("/apis/acme/crm"), "the edit")
            one.double.restart("empty")
            await until(lambda: is_there("/apis/acme/crm"), "what was lost")

            async def ticked() -> bool | None:
                asked = one.double.requests[start:]
                return True if asked[-4:] == ["GET /status"] * 4 else None

            start = len(one.double.requests)
            await until(ticked, "four ticks in a row that ask for the hash alone")
        assert one.double.hash != "0" * 32


async def test_what_a_kong_would_get_is_files_for_review(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    async with kong(tmp_path) as one:
        one.catalog.api(
            "crm",
            "https://crm.example.com",
            "  policies: [{type: jwt, config: {issuer: https://id.example.com}}]\n",
        )
        where = ("--catalog", str(one.catalog.root), "--out", str(tmp_path / "out"))
        code, _, _ = await run_command("render", *where, **SECRETS)
        assert code == 0
    files = sorted((tmp_path / "out").rglob("*.json"))
    assert "crm" not in (tmp_path / "out/kong-prod/document.json").read_text()
    texts = "".join(file.read_text() for file in files)
    assert not [secret for secret in SECRETS.values() if secret in texts]
    for file in files:
        name = ".".join(file.relative_to(tmp_path / "out").with_suffix("").parts)
        assert file.read_text() == snapshot(name=name, extension_class=JsonFile)


@pytest.mark.parametrize("command", ["validate", "plan"])
async def test_wrong_options_are_found_at_their_line(tmp_path: Path, command: str) -> None:
    async with kong(tmp_path) as one:
        text = GATEWAY.format(admin="http://kong.example:8001", proxy="http://kong.example")
        one.catalog.write("gateways/kong.yaml", text + "  options: {path: prefix}\n")
        where = one.where if command == "plan" else one.where[:2]
        code, out, err = await run_command(command, *where)
        assert code == 5
        assert "did you mean paths?" in out + err
