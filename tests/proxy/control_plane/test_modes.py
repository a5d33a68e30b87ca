"""Modes of a gateway that registers: what it says it is, and what the fetched table is to it."""

from __future__ import annotations

import hashlib

import pytest
from stoa_proxy.keycloak_config import Realm

from tests.proxy.conftest import Upstream, route_body
from tests.proxy.control_plane.conftest import Join, Timer
from tests.proxy.control_plane.double import ControlPlane
from tests.proxy.control_plane.test_pull import ids

BASE = ["rest", "metering", "rate_limiting", "policy"]


@pytest.mark.parametrize(
    ("mode", "more"),
    [("edge-mcp", []), ("proxy", []), ("sidecar", ["ext_authz"]), ("shadow", ["traffic_capture"])],
)
async def test_a_gateway_registers_as_what_it_is(
    plane: ControlPlane, join: Join, mode: str, more: list[str]
) -> None:
    async with join(plane.url, config={"mode": mode}, mode=mode, pulls=False):
        await plane.until(lambda: bool(plane.of("register")))
    (call,) = plane.of("register")
    assert call.body["mode"] == mode
    assert call.body["capabilities"] == [*BASE, *more]


async def test_a_gateway_that_checks_tokens_of_a_realm_says_so(
    plane: ControlPlane, join: Join
) -> None:
    realm = Realm("https://id.example", "http://keycloak", "/realms/stoa")
    async with join(plane.url, config={"realm": realm}, pulls=False):
        await plane.until(lambda: bool(plane.of("register")))
    assert plane.of("register")[0].body["capabilities"] == [*BASE, "oidc"]


async def test_a_sidecar_decides_by_the_table_of_its_control_plane(
    plane: ControlPlane, join: Join
) -> None:
    digest = hashlib.sha256(b"k1").hexdigest()
    consumer = {
        "id": "c1", "name": "mobile", "tenant_id": "acme",
        "credentials": [{"type": "api_key", "key_sha256": digest}],
        "subscriptions": [{"api_id": "r1", "plan": "gold"}],
    }  # fmt: skip
    # A backend that nothing here may call.
    route = route_body("http://10.9.8.7", plans=[{"name": "gold"}])
    plane.publish(("apis", route), ("consumers", consumer))
    config = {"mode": "sidecar", "backends_allow": ()}
    async with join(plane.url, config=config, mode="sidecar") as api:
        await plane.until(lambda: bool(plane.acks))
        assert plane.acks[0]["status"] == "applied"
        sent = {"Host": "h", "X-Forwarded-For": "198.51.100.7"}
        assert (await api.get("/authz/a", sent)).status == 401
        answer = await api.get("/authz/a", {**sent, "X-API-Key": "k1"})
        assert (answer.status, answer.headers["X-Consumer-Id"]) == (200, "c1")


async def test_an_upstream_of_its_own_outlives_each_fetched_table(
    plane: ControlPlane, join: Join, timer: Timer, upstream: Upstream
) -> None:
    plane.publish(("apis", route_body("builtin:echo")))
    async with join(plane.url, config={"upstream_url": upstream.url}) as api:
        await plane.until(lambda: bool(plane.acks))
        assert await ids(api) == ["r1"]
        assert (await api.get("/legacy")).status == 200
        plane.publish(("apis", route_body("builtin:echo", "/b", id="r2")))
        while len(plane.acks) < 2:
            await timer.next()
        assert await ids(api) == ["r2"]
        assert (await api.get("/legacy")).status == 200
        assert (await api.get("/a")).status == 200
        assert [seen.target for seen in upstream.seen] == ["/legacy", "/legacy", "/a"]
