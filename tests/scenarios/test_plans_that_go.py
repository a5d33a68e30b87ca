"""An application that a webMethods refuses, while the plan that it subscribes to goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.webmethods.double import runtime
from tests.scenarios.fleet_world import document
from tests.scenarios.makes_world import MakesWorld, makes_world
from tests.scenarios.world import statuses

ORDERS = Key("api", "acme", "orders")
MOBILE = Key("application", "acme", "mobile")
KEY = "a-key-of-the-mobile-application"
NAME = "webmethods-dev"
APPLICATION = f"PUT */applications/{'?' * 36}"
"""A write of an application's fields, and not of its links."""


def api(plan: str) -> str:
    return document(
        "API",
        "orders",
        'version: "1"\nbackend: {url: https://orders.example}\n'
        "routes: [{path: /apis/acme/orders}]\n"
        "policies: [{type: api_key, config: {name: x-Gateway-APIKey}}]\n"
        f"plans: [{{name: {plan}, perMinute: 100}}]",
    )


def application(plan: str, name: str = "Mobile") -> str:
    return document(
        "Application",
        "mobile",
        f"displayName: {name}\nowner: team@acme.example\n"
        "credentials: [{type: api_key, keyRef: {env: ACME_MOBILE}}]\n"
        f"subscriptions: [{{api: orders, plan: {plan}}}]",
    )


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakesWorld]:
    monkeypatch.setenv("ACME_MOBILE", KEY)
    async with makes_world(tmp_path, ["dev"], monkeypatch, makes=["webmethods"]) as found:
        found.write(
            {
                "environments/dev.yaml": document("Environment", "dev"),
                "tenants/acme/tenant.yaml": document("Tenant", "acme"),
                **subscribed("gold"),
            }
        )
        assert not found.read().diagnostics
        yield found


def subscribed(plan: str, name: str = "Mobile") -> dict[str, str | None]:
    return {
        "tenants/acme/apis/orders/api.yaml": api(plan),
        "tenants/acme/applications/mobile.yaml": application(plan, name),
    }


def double(world: MakesWorld) -> Any:
    return world.gateways[NAME].double


def subscribers(world: MakesWorld) -> set[str]:
    """Return the applications that the limits of the API name."""
    store = double(world).store
    (held,) = [one for one in store.apis if one["apiName"] == "acme-orders"]
    return {
        ident
        for action in runtime.actions_of(store, held)
        if action["templateKey"] == "throttle"
        for one in action["parameters"]
        if one["templateKey"] == "consumerIds"
        for ident in one.get("values") or ()
    }


def callers(world: MakesWorld) -> set[str]:
    """Return the ids of the applications that may call the API."""
    store = double(world).store
    (held,) = [one for one in store.apis if one["apiName"] == "acme-orders"]
    return {one["id"] for one in store.consumers_of(held["id"])}


async def statuses_of(world: MakesWorld) -> dict[str, Status]:
    return statuses((await world.cycle())[NAME])


async def test_a_new_application_in_quarantine_comes_with_the_plan_that_its_own_became(
    world: MakesWorld,
) -> None:
    double(world).faults.fail("POST */applications", 400, {"errorDetails": " no"}, times=9)
    assert (await statuses_of(world))[str(MOBILE)] is Status.QUARANTINED
    assert await statuses_of(world) == {}
    # The plan is renamed in a commit that leaves the application as it is refused.
    world.write(subscribed("silver"))
    found = await statuses_of(world)
    assert (found[str(ORDERS)], found[str(MOBILE)]) == (Status.APPLIED, Status.QUARANTINED)
    double(world).faults._planned.clear()
    assert await statuses_of(world) == {}
    world.clock.turn(hours=1, minutes=1)
    assert await statuses_of(world) == {str(MOBILE): Status.APPLIED}
    assert callers(world) == subscribers(world) != set()
    assert all(plan.is_empty for plan in (await world.plans()).values())


@pytest.mark.parametrize("back", ["silver", "gold"], ids=["later", "taken back"])
async def test_an_application_that_is_refused_while_its_plan_goes_is_never_without_a_limit(
    world: MakesWorld, back: str
) -> None:
    await world.converged()
    assert callers(world) == subscribers(world) != set()
    double(world).faults.fail(APPLICATION, 400, {"errorDetails": " no"}, times=99)
    world.write(subscribed("silver", "Phone"))
    found = await statuses_of(world)
    assert (found[str(ORDERS)], found[str(MOBILE)]) == (Status.APPLIED, Status.QUARANTINED)
    # Its plan is gone, and it could not be told of another one.
    assert callers(world) <= subscribers(world)
    for _ in range(3):
        await world.cycle()
        assert callers(world) <= subscribers(world)
    double(world).faults._planned.clear()
    world.write(subscribed(back, "Phone" if back == "silver" else "Mobile"))
    world.clock.turn(hours=1, minutes=1)
    await world.converged()
    assert callers(world) == subscribers(world) != set()
    assert all(plan.is_empty for plan in (await world.plans()).values())


async def test_an_application_whose_key_another_one_has_comes_when_that_one_goes(
    world: MakesWorld,
) -> None:
    person = world.gateways[NAME].person
    body = {"name": "theirs", "identifiers": [{"key": "apiKey", "name": "k", "value": [KEY]}]}
    made = (await person.post("/rest/apigateway/applications", json=body)).raise_for_status()
    assert (await statuses_of(world))[str(MOBILE)] is Status.QUARANTINED
    world.write(subscribed("silver"))
    assert (await statuses_of(world))[str(MOBILE)] is Status.QUARANTINED
    gone = await person.delete(f"/rest/apigateway/applications/{made.json()['id']}")
    gone.raise_for_status()
    await world.converged()
    assert callers(world) == subscribers(world) != set()
    assert all(plan.is_empty for plan in (await world.plans()).values())
