"""Gateways that register themselves and are written to by their admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig

from stoa_gitops.model.conditions import ConditionStatus
from tests.scenarios.fleet_world import FleetWorld, api, document, usual_files

TOKEN = "admin-token-of-the-gateways"


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FleetWorld]:
    monkeypatch.setenv("EDGE_TOKEN", TOKEN)
    async with FleetWorld(tmp_path).process() as made:
        yield made


@asynccontextmanager
async def data_plane() -> AsyncIterator[Gateway]:
    gateway = Gateway(ProxyConfig(port=0, admin_api_token=TOKEN))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop(0.0)


def pushed_files(*apis: str, networks: str = "127.0.0.0/8") -> dict[str, str | None]:
    spec = (
        "gatewayType: stoa_edge_mcp\nenvironment: prod\n"
        "auth: {type: bearer, tokenRef: {env: EDGE_TOKEN}}\n"
        f"registration: {{match: {{}}, networks: [{networks}]}}"
    )
    return usual_files(*apis) | {
        "gateways/edge.yaml": document("GatewayInstance", "edge", spec),
    }


def paths_on(gateway: Gateway) -> list[str]:
    return sorted("/" + "/".join(route.prefix) for route in gateway.store.table.routes.values())


async def test_a_commit_is_written_to_where_each_gateway_registered(world: FleetWorld) -> None:
    async with data_plane() as one, data_plane() as two:
        ids = [
            world.register(host, admin_url=plane.base_url)
            for host, plane in (("pod-1", one), ("pod-2", two))
        ]
        await world.commit(pushed_files("a"), *ids)
        assert paths_on(one) == paths_on(two) == ["/apis/acme/a"]
        await world.commit({"tenants/acme/apis/b/api.yaml": api("b")}, *ids)
        assert paths_on(one) == paths_on(two) == ["/apis/acme/a", "/apis/acme/b"]


async def test_one_that_restarts_empty_at_another_address_gets_all_again(world: FleetWorld) -> None:
    async with data_plane() as before:
        pod = world.register("pod-1", admin_url=before.base_url)
        await world.commit(pushed_files("a"), pod)
    async with data_plane() as after:
        assert world.register("pod-1", admin_url=after.base_url) == pod
        world.read()
        result = await world.cycle(pod)
        assert result.report.plan.holds == ()
        assert paths_on(after) == ["/apis/acme/a"]


async def test_what_somebody_else_deletes_there_is_written_again(world: FleetWorld) -> None:
    async with data_plane() as plane:
        pod = world.register("pod-1", admin_url=plane.base_url)
        await world.commit(pushed_files("a"), pod)
        for route_id in list(plane.store.table.routes):
            plane.store.delete_route(route_id)
        await world.cycle(pod)
        assert paths_on(plane) == ["/apis/acme/a"]


@pytest.mark.parametrize("networks", ["10.0.0.0/8", "0.0.0.0/0"])
async def test_nothing_is_sent_outside_of_the_named_networks(
    world: FleetWorld, networks: str
) -> None:
    async with data_plane() as plane:
        pod = world.register("pod-1", admin_url=plane.base_url)
        await world.commit(pushed_files("a", networks=networks), pod)
        assert paths_on(plane) == []
        condition = world.condition(pod, "GatewayReachable")
        assert condition.status is ConditionStatus.FALSE
        assert condition.reason == "GatewayAddressRefused"
        assert "spec.registration.networks" in condition.message
        assert TOKEN not in condition.message


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://me:pw@127.0.0.1:1", "not a url", ""])
async def test_an_admin_url_that_is_none_is_refused(world: FleetWorld, url: str) -> None:
    pod = world.register("pod-1", admin_url=url)
    await world.commit(pushed_files("a"), pod)
    condition = world.condition(pod, "GatewayReachable")
    assert condition.status is ConditionStatus.FALSE
    assert "pw@" not in condition.message
