"""What people see of gateways that registered, with a process and without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.running import Running, run_command, running, until

KEY = "gw_prod_0123456789abcdef0123456789abcdef"
EDGE = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: edge}
spec:
  gatewayType: stoa_edge_mcp
  environment: prod
  registration: {match: {}}
"""
IDLE = EDGE.replace("edge", "idle", 1).replace("stoa_edge_mcp", "stoa_sidecar")


async def call(process: Running, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(
            f"{process.control}/v1/internal/gateways/{path}",
            json=body,
            headers={"X-Gateway-Key": KEY},
        )


async def register(process: Running, hostname: str, mode: str = "edge-mcp") -> str:
    body = {
        "hostname": hostname,
        "mode": mode,
        "version": "0.9.25",
        "environment": "production",
        "admin_url": "http://10.0.0.1:8080",
    }
    response = await call(process, "register", body)
    assert response.status_code == 201
    return str(response.json()["id"])


async def items(state: Path) -> dict[str, Any]:
    _, out, _ = await run_command("gateways", "list", "--state", str(state), "--output", "json")
    return {item["name"]: item for item in json.loads(out)["items"]}


async def test_gateways_that_registered_are_shown_and_forgotten(tmp_path: Path) -> None:
    state = tmp_path / "state"
    catalog = CatalogFolder(tmp_path / "c")
    catalog.write("gateways/edge.yaml", EDGE)
    catalog.write("gateways/idle.yaml", IDLE)
    where = ("--state", str(state))
    async with upstream("one") as one:
        catalog.api("demo", one)
        async with running(catalog.root, state, GATEWAY_API_KEYS=KEY) as process:
            pod = await register(process, "pod-1")
            await register(process, "odd <host>", "shadow")
            figures = {"uptime_seconds": 60, "requests_total": 100, "error_rate": 0.2}
            assert (await call(process, f"{pod}/heartbeat", figures)).status_code == 204

            async def bound() -> dict[str, Any] | None:
                found = await items(state)
                has_shadow = any(name.endswith("-shadow-prod") for name in found)
                return found if has_shadow and "edge/pod-1-edgemcp-prod" in found else None

            found = await until(bound, "both gateways in the list")
            shadow = next(name for name in found if name.endswith("-shadow-prod"))
            assert {name: (item["status"], item["bound"]) for name, item in found.items()} == {
                "edge/pod-1-edgemcp-prod": ("DEGRADED", True),
                "idle": ("OFFLINE", True),
                "local": ("ONLINE", True),
                shadow: ("ONLINE", False),
            }
            registration = found["edge/pod-1-edgemcp-prod"]["registration"]
            assert (registration["requests"], registration["errorRate"]) == (100, 0.2)
            assert found[shadow]["registration"]["hostname"] == "odd <host>"
            assert found["local"]["registration"] is None

            _, text, _ = await run_command("gateways", "list", *where)
            lines = text.splitlines()
            # Grouped by environment, the name of which stands above.
            assert [line.split()[0] for line in lines] == [
                "dev", "local", "prod", "edge/pod-1-edgemcp-prod", "idle", shadow
            ]  # fmt: skip
            assert "20.0% of its latest requests failed" in text
            assert "last heartbeat" in lines[3]
            assert "not bound" in lines[5]

            _, text, _ = await run_command("gateways", "show", "edge/pod-1-edgemcp-prod", *where)
            assert "Registered as pod-1-edgemcp-prod by host 'pod-1' (edge-mcp, version" in text
            assert "100 requests, 20.0% of the latest requests failed, up for 60 s" in text
            _, text, _ = await run_command("gateways", "show", shadow, *where)
            assert "no document is called" in text

            named = ("edge/pod-1-edgemcp-prod", *where, "--catalog", str(catalog.root))
            for words in (("gateways", "list"), ("status",)):
                _, text, _ = await run_command(*words, *named[1:])
                assert named[0] in text, words
            assert (await run_command("gateways", "show", *named))[0] == 0
            code, _, err = await run_command(
                "apply", "--force", "--yes", "--gateway", *named[:3], "--tenant", "acme"
            )
            assert (code, "leave out --tenant" in err) == (64, True)

            code, _, err = await run_command("gateways", "forget", "local", "--yes", *where)
            assert (code, "remove its document first" in err) == (64, True)
            for name in (shadow, "edge/pod-1-edgemcp-prod"):
                code, out, err = await run_command("gateways", "forget", name, "--yes", *where)
                assert (code, out) == (0, f"{name} is forgotten\n"), err
            assert (await call(process, f"{pod}/heartbeat", figures)).status_code == 404

            async def forgotten() -> bool | None:
                return True if set(await items(state)) == {"edge", "idle", "local"} else None

            await until(forgotten, "the documents alone")
            await register(process, "pod-2")
        found = await items(state)
        assert set(found) == {"edge/pod-2-edgemcp-prod", "idle", "local"}
        assert found["edge/pod-2-edgemcp-prod"]["registration"]["hostname"] == "pod-2"
        _, text, _ = await run_command("gateways", "show", "edge/pod-2-edgemcp-prod", *where)
        assert "It did not send a heartbeat yet" in text
