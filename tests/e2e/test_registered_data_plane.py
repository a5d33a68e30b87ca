"""Our data plane and our reconciler as two programs that find each other by two variables."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.control_plane_config import ControlPlaneConfig

from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.running import run_command, running, until

KEY = "gw_dev_0123456789abcdef0123456789abcdef"
VARIABLES = {"GATEWAY_API_KEYS": KEY, "ACME_MOBILE_KEY": "caller-key-1"}
EDGE = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: edge}
spec:
  gatewayType: stoa
  environment: dev
  baseUrl: registered
  registration: {match: {type: stoa_proxy}}
  interval: 10m
  backends: {allow: [127.0.0.0/8]}
"""
MOBILE = """\
apiVersion: gostoa.dev/v1alpha1
kind: Application
metadata: {name: mobile}
spec:
  credentials: [{type: api_key, keyRef: {env: ACME_MOBILE_KEY}}]
  subscriptions: [{api: demo, plan: gold}]
"""
PLANS = "  plans: [{name: gold, perMinute: 100000}]\n"


@asynccontextmanager
async def gateway(control: str, state: Path) -> AsyncIterator[Gateway]:
    """A data plane that registers at a control plane; it looks for its table each second."""
    gateway = Gateway(
        ProxyConfig(
            port=0,
            backends_allow=("127.0.0.0/8",),
            state_dir=str(state),
            control_plane=ControlPlaneConfig(
                url=control, key=KEY, instance_name="pod", heartbeat_seconds=1, reload_seconds=1
            ),
        )
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop(0)


async def get(gateway: Gateway, path: str, key: str = "caller-key-1") -> tuple[int, str]:
    async with httpx.AsyncClient(timeout=30) as client:
        response = await client.get(gateway.base_url + path, headers={"X-API-Key": key})
        return response.status_code, response.text


async def becomes(gateway: Gateway, path: str, expected: tuple[int, str]) -> None:
    async def look() -> bool | None:
        return True if await get(gateway, path) == expected else None

    await until(look, f"{expected} at {path}")


def catalog_in(root: Path, backend: str) -> CatalogFolder:
    catalog = CatalogFolder(root)
    (root / "gateways/local.yaml").unlink()
    catalog.write("gateways/edge.yaml", EDGE)
    tenant = catalog.root / "tenants/acme/tenant.yaml"
    tenant.write_text(tenant.read_text().replace("local", "edge"))
    catalog.write("tenants/acme/applications/mobile.yaml", MOBILE)
    catalog.api("demo", backend, PLANS)
    return catalog


async def test_what_is_in_the_catalog_serves_on_a_gateway_that_registered_itself(
    tmp_path: Path,
) -> None:
    async with upstream("one") as one, upstream("two") as two:
        catalog = catalog_in(tmp_path / "c", one)
        async with (
            running(catalog.root, tmp_path / "state", "--interval", "1s", **VARIABLES) as process,
            gateway(process.control, tmp_path / "gateway") as edge,
        ):
            await becomes(edge, "/apis/acme/demo", (200, "one"))
            assert (await get(edge, "/apis/acme/demo", "another"))[0] == 401
            assert await get(edge, "/ready") == (200, "READY")
            # A commit reaches it without anybody calling it.
            catalog.api("demo", two, PLANS)
            await becomes(edge, "/apis/acme/demo", (200, "two"))
            # A policy that this gateway enforces, and the rest of the API, are one change.
            catalog.api("demo", one, f"{PLANS}  active: false\n")
            await until(lambda: _is(edge, 503), "the API that is off")


async def test_a_held_deletion_is_applied_by_the_command_that_the_hold_names(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    async with upstream("one") as one:
        catalog = catalog_in(tmp_path / "c", one)
        async with (
            running(catalog.root, state, "--interval", "1s", **VARIABLES) as process,
            gateway(process.control, tmp_path / "gateway") as edge,
        ):
            await becomes(edge, "/apis/acme/demo", (200, "one"))
            command = ("apply", "--gateway", "edge/pod-proxy-dev", "--force")
            where = ("--state", str(state))
            code, _, err = await run_command(*command, *where, "--yes")
            assert (code, "nothing to force" in err) == (0, True)
            for folder in ("apis/demo", "applications"):
                shutil.rmtree(catalog.root / "tenants/acme" / folder)

            async def held() -> str | None:
                code, out, err = await run_command(*command, *where)
                return f"{code} {out}{err}" if "(held)" in out else None

            shown = await until(held, "the held deletion")
            assert f"`stoa-gitops {' '.join(command)}`" in shown
            assert "64 Plan of the running process" in shown
            assert "there is no terminal" in shown
            assert (await get(edge, "/apis/acme/demo"))[0] == 200
            code, out, err = await run_command(*command, *where, "--yes")
            assert (code, "is being applied" in out) == (0, True), err
            await until(lambda: _is(edge, 404), "the API that is gone")


async def _is(edge: Gateway, status: int) -> bool | None:
    return True if (await get(edge, "/apis/acme/demo"))[0] == status else None


@pytest.mark.heavy
async def test_either_side_may_go_and_come_back(tmp_path: Path, address: str) -> None:
    control, folder = f"http://{address}", tmp_path / "gateway"
    arguments = ("--control-listen", address)
    async with upstream("one") as one, upstream("two") as two:
        catalog = catalog_in(tmp_path / "c", one)
        state = tmp_path / "state"
        async with (
            running(catalog.root, state, *arguments, **VARIABLES),
            gateway(control, folder) as edge,
        ):
            await becomes(edge, "/apis/acme/demo", (200, "one"))
        # Nobody there: the gateway begins with its last table.
        async with gateway(control, folder) as edge:
            assert await get(edge, "/apis/acme/demo") == (200, "one")
            assert (await get(edge, "/ready"))[1] == "NOT READY: Control Plane unreachable"
            # The catalog has moved on when the control plane is back.
            catalog.api("demo", two, PLANS)
            async with running(catalog.root, state, *arguments, **VARIABLES):
                await becomes(edge, "/apis/acme/demo", (200, "two"))
            assert await get(edge, "/apis/acme/demo") == (200, "two")
            # And when it was killed before anything was planned again.
            async with running(
                catalog.root, tmp_path / "state", *arguments, **VARIABLES
            ) as process:
                process.process.kill()
                await process.process.wait()
            assert await get(edge, "/apis/acme/demo") == (200, "two")
