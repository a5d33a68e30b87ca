"""A control plane that has no `table`, as STOA's own: its routes are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proxy.conftest import Upstream
from tests.proxy.control_plane.conftest import Join, Timer
from tests.proxy.control_plane.double import PREFIX, Answer, ControlPlane, reply

DEPLOYMENT = "00000000-0000-4000-8000-00000000000{}"
STEPS = ["gateway_routes_fetched", "gateway_routes_applied"]


def item(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A route as STOA's control plane lists it: slugs as `api_id`, and fields nobody reads here."""
    return {
        "id": f"r{number}", "api_id": "payments", "deployment_id": DEPLOYMENT.format(number),
        "gateway_instance_id": "", "name": "Payments", "tenant_id": f"t{number}",
        "path_prefix": f"/apis/t{number}/payments", "backend_url": "builtin:echo", "methods": [],
        "spec_hash": "h", "openapi_spec": {"paths": {}}, "activated": True, "generation": number,
        **fields,
    }  # fmt: skip


@pytest.fixture
def plane(plane: ControlPlane) -> ControlPlane:
    plane.has_tables = False
    plane.routes = [item(1), item(2)]
    return plane


async def test_its_routes_serve_and_are_acknowledged_as_the_real_gateway_does(
    plane: ControlPlane, join: Join
) -> None:
    async with join(plane.url) as api:
        await plane.until(lambda: bool(plane.acks))
        (asked,) = plane.of("routes")
        assert asked.query == {"gateway_name": "edge-proxy-dev"}
        (ack,) = plane.acks
        assert set(ack) == {"synced_routes", "sync_timestamp"}
        assert [(one["deployment_id"], one["status"]) for one in ack["synced_routes"]] == [
            (DEPLOYMENT.format(1), "applied"), (DEPLOYMENT.format(2), "applied"),
        ]  # fmt: skip
        assert [one["generation"] for one in ack["synced_routes"]] == [1, 2]
        assert [step["name"] for step in ack["synced_routes"][0]["steps"]] == STEPS
        # Two tenants have an API of one slug.
        paths = ("/apis/t1/payments", "/apis/t2/payments")
        assert [(await api.get(path)).status for path in paths] == [200, 200]
        assert (await api.get("/ready")).status == 200
        assert len(plane.of("table")) == 1


async def test_one_bad_item_is_acknowledged_as_failed_and_holds_up_no_other(
    plane: ControlPlane, join: Join, upstream: Upstream
) -> None:
    plane.routes = [
        item(1, backend_url="garbage"), item(2), item(3, path_prefix=""), item(4, backend_url=""),
        item(5, methods=None, spec_hash=None), item(6, deployment_id="x"),
    ]  # fmt: skip
    async with join(plane.url) as api:
        await plane.until(lambda: bool(plane.acks))
        statuses = [one["status"] for one in plane.acks[0]["synced_routes"]]
        assert statuses == ["failed", "applied", "failed", "applied"]
        assert "http" in plane.acks[0]["synced_routes"][0]["error"]
        assert sorted(api.gateway.store.table.routes) == ["r2", "r5", "r6"]


async def test_it_is_acknowledged_to_the_gateway_that_an_item_names(
    plane: ControlPlane, join: Join
) -> None:
    other = "11111111-2222-4333-8444-555555555555"
    plane.members[other] = {}
    plane.routes = [
        item(1, gateway_instance_id=other), item(2, gateway_instance_id="../x"), item(3),
    ]  # fmt: skip
    async with join(plane.url):
        await plane.until(lambda: len(plane.of("route-sync-ack")) == 2)
        (own,) = set(plane.members) - {other}
        acks = plane.of("route-sync-ack")
        assert {call.path: len(call.body["synced_routes"]) for call in acks} == {
            f"{PREFIX}/{other}/route-sync-ack": 1,
            f"{PREFIX}/{own}/route-sync-ack": 2,
        }


async def test_the_same_list_again_changes_and_acknowledges_nothing(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        table = api.gateway.store.table
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.of("routes")) == 2)
        await timer.next(waiting=2)
        assert api.gateway.store.table is table
        assert len(plane.acks) == 1
        plane.routes = [item(2)]
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 2)
        assert sorted(api.gateway.store.table.routes) == ["r2"]
        plane.routes = []
        await timer.next(waiting=2)
        await timer.next(waiting=2)
        await plane.until(lambda: len(api.gateway.store.table.routes) == 0)


async def test_policies_and_consumers_stay_as_they_were_written(
    plane: ControlPlane, join: Join
) -> None:
    async with join(plane.url, reload_seconds=3600) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        await api.policy("mock", {"status": 299})
        assert (await api.get("/apis/t1/payments")).status == 299


KEPT: dict[str, Answer] = {
    "404": reply(404), "503": reply(503), "500": reply(500), "304": reply(304), "401": reply(401),
    "html": reply(200, b"<html>"), "object": reply(200, {"routes": []}), "empty": reply(200, b""),
    "cut": reply(200, b'[{"id": "r9"'), "open": reply(200, b"["), "comma": reply(200, b'[{} {}]'),
    "tail": reply(200, b"[] []"), "numbers": reply(200, b"[1]"), "nan": reply(200, b'[{"a": NaN}]'),
    "twice": reply(200, b'[{"a": 1, "a": 2}]'), "bytes": reply(200, b"[\xff]"),
    "deep": reply(200, b"[" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("answer", KEPT)
async def test_whatever_else_comes_the_routes_stay(
    plane: ControlPlane, join: Join, timer: Timer, answer: str
) -> None:
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        plane.on("routes", KEPT[answer])
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.of("routes")) == 2)
        await timer.next(waiting=2)
        assert sorted(api.gateway.store.table.routes) == ["r1", "r2"]
        assert len(plane.acks) == 1


async def test_a_control_plane_that_learns_tables_is_asked_for_them_after_a_registration(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    async with join(plane.url):
        await plane.until(lambda: len(plane.acks) == 1)
        plane.has_tables = True
        plane.publish()
        plane.loses_registrations()
        while len(plane.of("register")) == 1:
            await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 2)
        assert plane.acks[1]["status"] == "applied"
