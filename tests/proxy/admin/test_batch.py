"""Several objects as one change: all or none, and no request meets a part of it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from tests.proxy.conftest import Api, Upstream, policy_body, route_body

KEY = hashlib.sha256(b"k1").hexdigest()
NEVER = "192.0.2.0/24"
"""Addresses that no client of these tests has."""


def batch(**objects: Any) -> dict[str, Any]:
    return objects


async def change(api: Api, status: int = 200, **objects: Any) -> Any:
    answer = await api.admin("POST", "/admin/batch", batch(**objects))
    assert answer.status == status, await answer.text()
    return await answer.json()


def open_state(backend: str) -> dict[str, Any]:
    return {
        "apis": [route_body(backend, strip_path=True, api_id="x")],
        "delete": {"policies": ["p1"]},
    }


def closed_state(backend: str) -> dict[str, Any]:
    policy = policy_body("p1", "x", "ip_filter", {"allow": [NEVER]})
    return {"apis": [route_body(backend, api_id="x")], "policies": [policy]}


async def test_no_request_meets_a_mixture_of_two_states(api: Api, start_upstream: Any) -> None:
    public, private = await start_upstream(), await start_upstream()
    await change(api, **open_state(public.url))
    statuses: set[int] = set()
    is_done = asyncio.Event()

    async def call() -> None:
        while not is_done.is_set():
            statuses.add((await api.get("/a")).status)

    callers = [asyncio.create_task(call()) for _ in range(8)]
    for _ in range(150):
        await change(api, **closed_state(private.url))
        await change(api, **open_state(public.url))
    is_done.set()
    await asyncio.gather(*callers)
    assert private.seen == [], "a backend behind ip_filter was reached"
    assert statuses == {200, 403}


async def test_rights_change_together_with_the_plans_that_they_name(
    api: Api, upstream: Upstream
) -> None:
    async def use(plan: str) -> None:
        consumer = {
            "id": "c1", "name": "mobile", "tenant_id": "acme",
            "credentials": [{"type": "api_key", "key_sha256": KEY}],
            "subscriptions": [{"api_id": "r1", "plan": plan}],
        }  # fmt: skip
        route = route_body(upstream.url, plans=[{"name": plan, "per_minute": 100_000}])
        await change(api, apis=[route], consumers=[consumer])

    statuses: set[int] = set()
    is_done = asyncio.Event()

    async def call() -> None:
        while not is_done.is_set():
            statuses.add((await api.get("/a", {"X-API-Key": "k1"})).status)

    await use("gold")
    callers = [asyncio.create_task(call()) for _ in range(4)]
    for number in range(100):
        await use(f"plan-{number % 2}")
    is_done.set()
    await asyncio.gather(*callers)
    assert statuses == {200}


async def test_one_refused_object_leaves_everything_as_it_was(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    bad = policy_body("p1", "r1", "rate_limit", {"requests": 0, "window": "1s"})
    result = await change(
        api, 400,
        apis=[route_body("http://10.0.0.1", id="r2"), route_body(upstream.url, prefix="/b")],
        policies=[bad, {"id": "p2"}],
        delete={"apis": ["r1x"]},
    )  # fmt: skip
    assert result["objects"] == [
        {"kind": "apis", "id": "r2"},
        {"kind": "policies", "id": "p1"},
        {"kind": "policies", "id": "p2"},
    ]
    assert len(result["errors"]) == 3
    assert result["errors"][0].startswith("apis 'r2': backend_url targets a private/internal IP")
    assert [one["path_prefix"] for one in await (await api.admin("GET", "/admin/apis")).json()] == [
        "/a"
    ]
    assert await (await api.admin("GET", "/admin/policies")).json() == []


async def test_a_key_passes_from_one_consumer_to_another_in_one_change(api: Api) -> None:
    def consumer(consumer_id: str, *keys: str) -> dict[str, Any]:
        credentials = [{"type": "api_key", "key_sha256": key * 64} for key in keys]
        return {
            "id": consumer_id, "name": consumer_id, "tenant_id": "acme", "credentials": credentials,
            "subscriptions": [],
        }  # fmt: skip

    await change(api, consumers=[consumer("c1", "a"), consumer("c2", "b")])
    await change(api, consumers=[consumer("c1", "b"), consumer("c2", "a")])
    await change(api, consumers=[consumer("c3", "a")], delete={"consumers": ["c2"]})
    refused = await change(api, 409, consumers=[consumer("c1", "a"), consumer("c4", "d")])
    assert refused["objects"] == [{"kind": "consumers", "id": "c1"}]
    await change(api, 409, consumers=[consumer("c1", "c"), consumer("c4", "c")])


async def test_an_api_id_of_another_tenant_is_refused_within_a_change_too(api: Api) -> None:
    mine = route_body("http://b.test", api_id="x")
    other = route_body("http://b.test", prefix="/b", id="r2", api_id="x", tenant_id="evil")
    result = await change(api, 400, apis=[mine, other])
    assert {"kind": "apis", "id": "r2"} in result["objects"]


async def test_a_route_in_anothers_place_is_named(api: Api) -> None:
    await api.route("http://127.0.0.1:1")
    other = route_body("http://127.0.0.1:1", id="r2", tenant_id="evil")
    result = await change(api, 409, apis=[other])
    assert result["objects"] == [{"kind": "apis", "id": "r2"}]


@pytest.mark.parametrize(
    "objects",
    [
        {"apis": [route_body("http://b.test"), route_body("http://b.test")]},
        {"apis": [route_body("http://b.test")], "delete": {"apis": ["r1"]}},
        {"routes": []},
        {"delete": {"routes": []}},
    ],
)
async def test_a_change_that_contradicts_itself_is_refused(
    api: Api, objects: dict[str, Any]
) -> None:
    assert (await change(api, 400, **objects))["errors"]


async def test_what_is_gone_already_may_go(api: Api) -> None:
    gone = {"apis": ["x"], "policies": ["y"], "consumers": ["z"]}
    assert await change(api, delete=gone) == {"status": "ok"}
