"""`/ready` asks what this gateway depends on, in the documented words; `/health` never does."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.proxy.conftest import Api, FakeClock, Upstream, route_body
from tests.proxy.control_plane.conftest import Join
from tests.proxy.control_plane.double import ControlPlane, reply


@pytest.fixture
def plane(plane: ControlPlane) -> ControlPlane:
    plane.publish(("apis", route_body("builtin:echo")))
    return plane


async def ready(api: Api) -> tuple[int, str]:
    answer = await api.get("/ready")
    return answer.status, await answer.text()


async def joined(plane: ControlPlane) -> None:
    await plane.until(lambda: bool(plane.acks))


@pytest.mark.parametrize("status", [503, 500, 404, 302, 401])
async def test_the_control_plane_must_be_well(
    plane: ControlPlane, join: Join, clock: FakeClock, status: int
) -> None:
    async with join(plane.url) as api:
        await joined(plane)
        assert await ready(api) == (200, "READY")
        clock.advance(5.0)
        plane.on("health", reply(status))
        assert await ready(api) == (503, "NOT READY: Control Plane unhealthy")
        assert (await api.get("/health/ready")).status == 503
        assert (await api.get("/health")).status == 200
        assert (await api.get("/a")).status == 200
        clock.advance(1.0)
        assert await ready(api) == (200, "READY")


async def test_a_control_plane_that_is_away_is_unreachable(join: Join, closed_url: str) -> None:
    async with join(closed_url, pulls=False) as api:
        assert await ready(api) == (503, "NOT READY: Control Plane unreachable")


async def test_health_is_asked_without_the_key(plane: ControlPlane, join: Join) -> None:
    async with join(plane.url) as api:
        await joined(plane)
        await ready(api)
    (asked,) = plane.of("health")
    assert "x-gateway-key" not in asked.headers


async def test_a_gateway_without_a_table_is_not_ready_before_it_heard_of_one(
    plane: ControlPlane, join: Join
) -> None:
    plane.tables.clear()
    async with join(plane.url) as api:
        await plane.until(lambda: bool(plane.of("table")))
        assert await ready(api) == (503, "NOT READY: not configured yet")
        assert plane.of("health") == []


async def test_an_empty_table_is_one(plane: ControlPlane, join: Join) -> None:
    plane.publish()
    async with join(plane.url) as api:
        await joined(plane)
        assert await ready(api) == (200, "READY")


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_where_keycloak_is_set_its_discovery_must_respond(
    plane: ControlPlane, join: Join, clock: FakeClock, upstream: Upstream, status: int
) -> None:
    url = f"{upstream.url}/realms/stoa/.well-known/openid-configuration"
    async with join(plane.url, oidc_url=url) as api:
        await joined(plane)
        assert await ready(api) == (200, "READY")
        assert upstream.seen[0].target == "/realms/stoa/.well-known/openid-configuration"
        assert upstream.seen[0].all("X-Gateway-Key") == []

        async def fails(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=status)

        upstream.answer = fails
        clock.advance(5.0)
        assert await ready(api) == (503, "NOT READY: OIDC provider unreachable")


async def test_an_oidc_provider_that_is_away_is_unreachable(
    plane: ControlPlane, join: Join, closed_url: str
) -> None:
    async with join(plane.url, oidc_url=closed_url) as api:
        await joined(plane)
        assert await ready(api) == (503, "NOT READY: OIDC provider unreachable")


async def test_probes_do_not_multiply(plane: ControlPlane, join: Join, clock: FakeClock) -> None:
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with join(plane.url) as api:
        await joined(plane)
        plane.on("health", slow)
        probes = [asyncio.create_task(ready(api)) for _ in range(20)]
        await plane.until(lambda: len(plane.of("health")) == 1)
        probes.pop().cancel()
        release.set()
        assert set(await asyncio.gather(*probes)) == {(200, "READY")}
        assert await ready(api) == (200, "READY")
        assert len(plane.of("health")) == 1
        clock.advance(5.0)
        await ready(api)
        assert len(plane.of("health")) == 2


async def test_a_gateway_that_drains_says_so_without_asking(
    plane: ControlPlane, join: Join
) -> None:
    async with join(plane.url) as api:
        await joined(plane)
        api.gateway.own_paths.is_draining = True
        assert await ready(api) == (503, "NOT READY: draining")
        assert plane.of("health") == []
