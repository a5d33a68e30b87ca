"""STOA's gateways, by the double of what the real one sends, and a whole process."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from tests.adapters.stoa.outgoing import RealGateway, ReloadFailed, State, started
from tests.e2e.catalogs import CatalogFolder
from tests.e2e.running import Running, running, until

KEY = "gw_dev_0123456789abcdef0123456789abcdef"
PROD = "gw_prod_0123456789abcdef0123456789abcdef"
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "adapters/stoa/recordings/control-plane.jsonl")
    .read_text()
    .splitlines()
]
EDGES = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: edges}
spec:
  gatewayType: stoa_edge_mcp
  environment: dev
  registration: {match: {}}
"""


def catalog_of(tmp_path: Path) -> CatalogFolder:
    """A catalog whose one document is about gateways that register."""
    catalog = CatalogFolder(tmp_path / "catalog")
    (catalog.root / "gateways/local.yaml").unlink()
    catalog.write("gateways/edges.yaml", EDGES)
    tenant = catalog.root / "tenants/acme/tenant.yaml"
    tenant.write_text(tenant.read_text().replace("[local]", "[edges]"))
    return catalog


def fleet(tmp_path: Path, **more: Any) -> Any:
    return running(tmp_path / "catalog", tmp_path / "state", **{"GATEWAY_API_KEYS": KEY, **more})


async def ask(process: Running, path: str) -> Any:
    headers = {"Authorization": f"Bearer {process.control_token}"}
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(process.control + path, headers=headers)).json()


async def figure(process: Running, line: str) -> float:
    async with httpx.AsyncClient(timeout=30) as client:
        text = (await client.get(f"{process.control}/metrics")).text
    found = [one for one in text.splitlines() if one.startswith(line)]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


async def test_the_real_gateway_registers_in_all_its_modes_and_is_counted(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    async with fleet(tmp_path) as process:
        for slash in ("", "/"):
            for mode in ("edge-mcp", "sidecar", "proxy", "shadow"):
                host = f"inst-{mode}{len(slash)}"
                async with started(process.control + slash, KEY, hostname=host, mode=mode) as one:
                    assert one.state is State.REGISTERED
                    assert one.name == f"{host}-{mode.replace('-', '')}-dev"
                    assert await one.ready() == "READY"
                    assert await one.ask_for_tools() == [200, 200, 200]
                    assert await one.ask_for_permissions("acme") == {"items": [], "total": 0}
                    assert await one.beat() == 204
        name = 'stoa_gitops_gateways{environment="dev",state="ONLINE"}'
        assert await figure(process, name) == 8
        assert await figure(process, "stoa_gitops_heartbeats_total") == 16
        assert await figure(process, 'stoa_gitops_registrations_total{result="new"}') == 8
        audit = (await ask(process, "/v1/audit"))["items"]
        assert sum(entry["action"] == "register" for entry in audit) == 8
    log = process.log.read_text()
    assert "register: inst-proxy0-proxy-dev registered" in log
    assert KEY not in log


async def test_what_the_real_gateway_was_recorded_to_send_gets_what_it_needs(
    tmp_path: Path,
) -> None:
    catalog_of(tmp_path)
    unserved = ("/v1/mcp/", "/v1/subscriptions/", "/v1/portal/")
    needed = {"register": 201, "heartbeat": 204, "route-sync-ack": 200, "routes": 503}
    keys = f"{KEY},any-other-key-that-is-long"
    async with (
        fleet(tmp_path, GATEWAY_API_KEYS=keys) as process,
        started(process.control, KEY, hostname="inst-edge") as gateway,
    ):
        for one in RECORDED:
            request = one["request"]
            path = request["path"].replace(
                "11111111-2222-4333-8444-555555555555", str(gateway.gateway_id)
            )
            headers = {
                name: value.replace("<GATEWAY_KEY>", "any-other-key-that-is-long")
                for name, value in request["headers"].items()
                if name not in ("host", "content-length")
            }
            async with (
                aiohttp.ClientSession() as session,
                session.request(
                    request["method"],
                    process.control + path,
                    data=request["body"],
                    headers=headers,
                ) as response,
            ):
                last = path.partition("?")[0].rpartition("/")[2]
                expected = 401 if path.startswith(unserved) else needed.get(last, 200)
                assert response.status == expected, (one["name"], await response.text())


async def test_a_gateway_that_reloads_gets_its_routes_and_keeps_them_through_a_suspension(
    tmp_path: Path,
) -> None:
    catalog = catalog_of(tmp_path)
    catalog.api("orders", "http://orders.example.org")
    async with (
        fleet(tmp_path) as process,
        started(process.control, KEY, reload=True) as gateway,
    ):

        async def pulled() -> bool | None:
            try:
                await gateway.pull()
            except ReloadFailed:
                return None
            return True

        await until(pulled, "the routes of the gateway")
        (route,) = gateway.table.values()
        assert route["path_prefix"] == "/apis/acme/orders"
        headers = {"Authorization": f"Bearer {process.control_token}"}
        path = f"{process.control}/v1/gateways/edges%2F{gateway.name}/suspend"
        async with httpx.AsyncClient(timeout=30) as client:
            response = await client.post(path, headers=headers)
            assert response.status_code == 200, response.text
        with pytest.raises(ReloadFailed, match="503"):
            await gateway.pull()
        assert list(gateway.table.values()) == [route]


async def test_a_key_of_another_environment_stops_the_gateway_and_the_trail_says_so(
    tmp_path: Path,
) -> None:
    catalog_of(tmp_path)
    async with fleet(tmp_path, GATEWAY_API_KEYS=f"{KEY},{PROD}") as process:
        async with RealGateway(process.control, PROD) as gateway:
            assert await gateway.register() is State.STOPPED

        async def refused() -> Any:
            items = (await ask(process, "/v1/audit"))["items"]
            return next((entry for entry in items if entry["status"] == "refused"), None)

        entry = await until(refused, "the refusal in the audit trail")
        assert "environment prod" in entry["message"]
        assert "restart" in entry["message"]


async def test_a_restarted_control_plane_knows_its_gateways_and_their_beats_go_on(
    tmp_path: Path, address: str
) -> None:
    catalog_of(tmp_path)
    gateways: list[RealGateway] = []
    async with fleet(tmp_path, control=address) as process:
        for number in range(40):
            gateway = RealGateway(process.control, KEY, hostname=f"pod-{number}")
            await gateway.__aenter__()
            gateways.append(gateway)
        await asyncio.gather(*(gateway.register() for gateway in gateways))
        assert {gateway.state for gateway in gateways} == {State.REGISTERED}
        beating = asyncio.create_task(_beat_until_refused(gateways))
        process.process.send_signal(signal.SIGKILL)
        await process.process.wait()
        assert 0 in await beating, "beats were underway"
    ids = [gateway.gateway_id for gateway in gateways]
    async with fleet(tmp_path, control=address) as process:
        found = await asyncio.gather(*(gateway.beat() for gateway in gateways))
        assert set(found) == {204}
        assert [gateway.gateway_id for gateway in gateways] == ids
        name = 'stoa_gitops_gateways{environment="dev",state="ONLINE"}'
        assert await figure(process, name) == 40
    for gateway in gateways:
        await gateway.__aexit__()


async def _beat_until_refused(gateways: list[RealGateway]) -> set[int]:
    found: set[int] = set()
    while 0 not in found:
        found |= set(await asyncio.gather(*(gateway.beat() for gateway in gateways)))
    return found


@pytest.mark.heavy
@pytest.mark.parametrize(
    "point",
    ["registration-not-stored", "registration-stored", "registration-stored-not-noticed"],
)
async def test_a_gateway_whose_answer_a_kill_swallowed_registers_again_as_itself(
    point: str, tmp_path: Path, address: str
) -> None:
    catalog_of(tmp_path)
    program = ("tests.crash.points", point)
    async with fleet(tmp_path, program=program, control=address) as process:
        async with RealGateway(process.control, KEY) as gateway:
            assert await gateway.register() is State.STARTING
            assert gateway.delays == [5]
        assert await process.process.wait() == -signal.SIGKILL
    async with fleet(tmp_path, control=address) as process:
        async with RealGateway(process.control, KEY) as gateway:
            assert await gateway.register() is State.REGISTERED
            assert await gateway.beat() == 204
        name = 'stoa_gitops_gateways{environment="dev",state="ONLINE"}'
        assert await figure(process, name) == 1


@pytest.mark.heavy
async def test_a_thousand_gateways_behind_one_address_register_and_none_is_cut(
    tmp_path: Path,
) -> None:
    catalog_of(tmp_path)
    gateways = [RealGateway("", KEY, hostname=f"pod-{number}") for number in range(1000)]
    async with fleet(tmp_path) as process:
        for gateway in gateways:
            gateway.url = process.control
            await gateway.__aenter__()
        states = await asyncio.gather(*(gateway.register() for gateway in gateways))
        assert set(states) == {State.REGISTERED}
        assert len({gateway.gateway_id for gateway in gateways}) == 1000
        beats = await asyncio.gather(*(gateway.beat() for gateway in gateways))
        assert set(beats) == {204}
        refused = "stoa_gitops_control_connections_refused_total"
        assert await figure(process, f'{refused}{{bound="client"}}') == 0
        name = 'stoa_gitops_gateways{environment="dev",state="ONLINE"}'
        assert await figure(process, name) == 1000
        for gateway in gateways:
            await gateway.__aexit__()
