"""A credential or subscription that is revoked opens nothing any more: at once where it is pushed,
and half a minute later at worst where the gateway fetches its table.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.proxy.conftest import Api, FakeClock, Upstream, policy_body, route_body, running
from tests.proxy.control_plane.conftest import Join, Timer
from tests.proxy.control_plane.double import ControlPlane

KEY = {"X-API-Key": "k1"}
PLANS = [{"name": "gold", "per_minute": 100000}]


def consumer(*subscriptions: str, key: str = "k1") -> dict[str, Any]:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return {
        "id": "c1", "name": "mobile", "tenant_id": "acme",
        "credentials": [{"type": "api_key", "key_sha256": digest}],
        "subscriptions": [{"api_id": one, "plan": "gold"} for one in subscriptions],
    }  # fmt: skip


REVOKED = {
    "the consumer": (None, 401),
    "its key": (consumer("r1", key="another"), 401),
    "its subscription": (consumer(), 403),
}


@pytest.mark.parametrize("what", REVOKED)
async def test_what_is_pushed_is_revoked_with_the_next_request(
    what: str, upstream: Upstream
) -> None:
    left, status = REVOKED[what]
    async with running() as api:
        await api.route(upstream.url, plans=PLANS)
        await api.policy("api_key", {})
        await api.put("consumers", consumer("r1"))
        for _ in range(3):  # so that the connection and its headers are well known
            assert (await api.get("/a", KEY)).status == 200
        if left is None:
            assert (await api.admin("DELETE", "/admin/consumers/c1")).status == 204
        else:
            await api.put("consumers", left)
        assert (await api.get("/a", KEY)).status == status
    assert len(upstream.seen) == 3


@pytest.mark.parametrize("what", REVOKED)
async def test_what_is_fetched_is_revoked_within_half_a_minute(
    what: str, plane: ControlPlane, join: Join, timer: Timer, clock: FakeClock, upstream: Upstream
) -> None:
    left, status = REVOKED[what]
    rest = (
        ("apis", route_body(upstream.url, plans=PLANS)),
        ("policies", policy_body("r1.key", "r1", "api_key", {})),
    )
    plane.publish(*rest, ("consumers", consumer("r1")))
    async with join(plane.url) as api:  # with the interval that nobody set
        await plane.until(lambda: len(plane.acks) == 1)
        assert (await api.get("/a", KEY)).status == 200
        began = clock.seconds
        plane.publish(*rest, *([] if left is None else [("consumers", left)]), generation=2)
        await timer.next(waiting=2)  # what comes first of its heartbeat and its next look
        await plane.until(lambda: len(plane.acks) == 2)
        assert clock.seconds - began <= 30
        assert (await api.get("/a", KEY)).status == status


async def test_a_subscription_ends_by_itself_without_a_control_plane(
    plane: ControlPlane, join: Join, timer: Timer, clock: FakeClock, upstream: Upstream
) -> None:
    until = "2026-06-01T00:00:20Z"
    one = consumer("r1")
    one["subscriptions"][0]["expires_at"] = until
    plane.publish(
        ("apis", route_body(upstream.url, plans=PLANS)),
        ("policies", policy_body("r1.key", "r1", "api_key", {})),
        ("consumers", one),
    )
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        assert (await statuses(api)) == [200, 200]
        clock.advance(20)
        assert (await statuses(api)) == [403, 403]


async def statuses(api: Api) -> list[int]:
    return [(await api.get("/a", KEY)).status for _ in range(2)]
