"""One catalog over Kong, Gravitee and webMethods: each has what its own experts would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.model.changes import Action, Direction
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.scenarios.fleet_world import document
from tests.scenarios.makes_world import MAKES, Gateway, makes_world
from tests.scenarios.world import statuses

ORDERS = Key("api", "acme", "orders")
LIMIT = ORDERS.policy("rate_limit")
GRAVITEE_APIS = "/management/v2/environments/DEFAULT/apis"
WM_APIS = "/rest/apigateway/apis"


def api(gateways: str = "", backend: str = "https://orders.example/v1", limit: str = "100") -> str:
    spec = f"""displayName: Orders
version: "1.2.0"
description: Orders of Acme
backend:
  url: {backend}
  timeout: 10s
routes: [{{path: /apis/acme/orders}}]
policies:
  - type: rate_limit
    onUnsupported: warn
    config:
      requests: {limit}
      window: 1m
"""
    return document("API", "orders", spec + gateways)


CATALOG = {
    "tenants/acme/tenant.yaml": document("Tenant", "acme"),
    "tenants/acme/apis/orders/api.yaml": api(),
}


STATUS_API = document(
    "API",
    "status",
    'version: "1"\nbackend: {url: https://status.example}\nroutes: [{path: /apis/acme/status}]',
)


async def test_one_commit_reaches_three_makes_and_the_second_plan_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with makes_world(tmp_path, ["dev"], monkeypatch) as world:
        world.write({**CATALOG, "environments/dev.yaml": document("Environment", "dev")})
        plans = await world.plans()
        assert {name: {c.key for c in plan.changes} for name, plan in plans.items()} == {
            f"{make}-dev": {ORDERS, LIMIT} for make in MAKES
        }
        results = await world.cycle()
        for name, result in results.items():
            assert set(statuses(result).values()) == {Status.APPLIED}, (name, result.report)
        assert all(plan.is_empty and plan.complete for plan in (await world.plans()).values())


async def change_by_hand(gateway: Gateway) -> None:
    """Send the requests of this API elsewhere, as a person would with this make."""
    person, url = gateway.person, "https://elsewhere.example/v1"
    if gateway.make == "kong":
        listed = (await person.get("/services")).json()["data"]
        (service,) = [one for one in listed if one["host"] == "orders.example"]
        sent = {"host": "elsewhere.example"}
        (await person.patch(f"/services/{service['id']}", json=sent)).raise_for_status()
    elif gateway.make == "gravitee":
        listed = (await person.get(GRAVITEE_APIS)).json()["data"]
        (found,) = [one for one in listed if one["name"] == "Orders"]
        endpoint = found["endpointGroups"][0]["endpoints"][0]
        endpoint["configuration"]["target"] = url
        sent = {**found, "definitionVersion": "V4"}
        (await person.put(f"{GRAVITEE_APIS}/{found['id']}", json=sent)).raise_for_status()
    else:
        await _change_webmethods(person, url)


async def _change_webmethods(person: Any, url: str) -> None:
    listed = (await person.get("/rest/apigateway/alias")).json()["alias"]
    (alias,) = [one for one in listed if "orders.example" in str(one.get("endPointURI"))]
    sent = {**alias, "endPointURI": url}
    answer = await person.put(f"/rest/apigateway/alias/{alias['id']}", json=sent)
    answer.raise_for_status()


@pytest.mark.parametrize("make", MAKES)
async def test_what_somebody_changed_on_one_is_shown_with_its_direction_and_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str
) -> None:
    async with makes_world(tmp_path, ["dev"], monkeypatch) as world:
        world.write({**CATALOG, "environments/dev.yaml": document("Environment", "dev")})
        await world.converged()
        name = f"{make}-dev"
        await change_by_hand(world.gateways[name])
        plans = await world.plans()
        assert [one for one, plan in plans.items() if not plan.is_empty] == [name]
        (change,) = plans[name].changes
        assert (change.key, change.action) == (ORDERS, Action.UPDATE)
        assert change.direction is Direction.GATEWAY
        (field,) = change.fields
        assert field.dotted == "backend.url"
        assert field.after == "https://orders.example/v1"
        assert "elsewhere.example" in str(field.before)
        for gateway in world.gateways.values():
            gateway.writes()
        results = await world.cycle()
        assert statuses(results[name]) == {str(ORDERS): Status.APPLIED}
        others = [one for one in world.gateways.values() if one.name != name]
        assert [gateway.writes() for gateway in others] == [[], []]
        assert all(plan.is_empty for plan in (await world.plans()).values())
        held = await world.held(name)
        assert held[ORDERS]["backend"]["url"] == "https://orders.example/v1"  # type: ignore[index,call-overload]


async def test_a_policy_that_one_make_refuses_blocks_nothing_on_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A plugin of another version, which calls its fields otherwise.
    other = {"type": "object", "properties": {"maximum": {"type": "integer"}}}
    options = {"schemas": {"rate-limit": other}}
    async with makes_world(tmp_path, ["dev"], monkeypatch, options) as world:
        world.write(
            {
                **CATALOG,
                "tenants/acme/apis/status/api.yaml": STATUS_API,
                "environments/dev.yaml": document("Environment", "dev"),
            }
        )
        results = await world.cycle()
        found = statuses(results["gravitee-dev"])
        assert found[str(LIMIT)] is Status.QUARANTINED
        assert found["api/acme/status"] is Status.APPLIED
        for make in ("kong", "webmethods"):
            assert set(statuses(results[f"{make}-dev"]).values()) == {Status.APPLIED}
        message = next(
            outcome.message
            for outcome in results["gravitee-dev"].report.outcomes
            if outcome.change.key == LIMIT
        )
        assert "it knows no rate" in message
        plans = await world.plans()
        assert [plans[f"{make}-dev"].is_empty for make in ("kong", "webmethods")] == [True, True]


def environment(name: str, backend: str, limit: int, *, takes: bool) -> str:
    patch = ""
    if takes:
        named = ", ".join(f"{make}-{name}" for make in MAKES)
        patch = f"""
patches:
  - kind: API
    name: orders
    patch: {{spec: {{gateways: [{named}]}}}}"""
    text = f"variables: {{ORDERS_BACKEND: '{backend}', ORDERS_LIMIT: {limit}}}{patch}"
    return document("Environment", name, text)


ENVIRONMENTS = {
    "dev": ("https://dev.orders.example", 10),
    "staging": ("https://staging.orders.example", 50),
    "prod": ("https://orders.example", 1000),
}


async def test_an_api_is_promoted_from_dev_to_prod_by_its_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with makes_world(tmp_path, ENVIRONMENTS, monkeypatch) as world:
        named = ", ".join(f"{make}-dev" for make in MAKES)
        document_of_all = api(f"gateways: [{named}]", "${ORDERS_BACKEND}", "${ORDERS_LIMIT}")
        world.write({**CATALOG, "tenants/acme/apis/orders/api.yaml": document_of_all})
        reached: list[str] = []
        for name in ENVIRONMENTS:
            reached.append(name)
            # One commit: the overlay of the next environment takes the API.
            world.write(
                {
                    f"environments/{one}.yaml": environment(one, *values, takes=one in reached)
                    for one, values in ENVIRONMENTS.items()
                }
            )
            plans = await world.plans()
            assert {one for one, plan in plans.items() if not plan.is_empty} == {
                f"{make}-{name}" for make in MAKES
            }
            for result in (await world.cycle()).values():
                assert set(statuses(result).values()) <= {Status.APPLIED}, result.report
            assert all(plan.is_empty for plan in (await world.plans()).values())
        for name, (backend, limit) in ENVIRONMENTS.items():
            for make in MAKES:
                held: Any = await world.held(f"{make}-{name}")
                assert held[ORDERS]["backend"]["url"].rstrip("/") == backend
                assert held[LIMIT]["config"]["requests"] == limit
