"""A gateway of several processes that gets its table from a control plane: one member of it."""

from __future__ import annotations

from stoa_proxy.control_plane_config import ControlPlaneConfig

from tests.proxy.conftest import policy_body, route_body
from tests.proxy.control_plane.double import KEY, ControlPlane, serving
from tests.proxy.workers.world import several


async def test_a_table_is_acknowledged_when_all_workers_have_it() -> None:
    routes = [("apis", route_body("builtin:echo", f"/r{n}", id=f"r{n}")) for n in range(40)]
    async with serving(ControlPlane()) as plane:
        plane.publish(*routes, ("policies", policy_body("p", "r1", "mock", {"status": 299})))
        config = ControlPlaneConfig(plane.url, KEY, heartbeat_seconds=1, reload_seconds=1)
        async with several(control_plane=config) as api:
            await plane.until(lambda: len(plane.acks) == 1)
            assert set(await api.ask_all("/r39")) == {200}
            assert set(await api.ask_all("/r1")) == {299}
            plane.publish(*routes[:20], generation=2)
            await plane.until(lambda: len(plane.acks) == 2)
            assert set(await api.ask_all("/r39")) == {404}
            assert set(await api.ask_all("/r1")) == {200}
            served = sum(one["requests"] for one in await api.workers())
            await plane.until(lambda: plane.of("heartbeat")[-1].body["requests_total"] == served)
            assert len(plane.of("register")) == 1
