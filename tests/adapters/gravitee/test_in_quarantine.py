"""Applications that are refused for a long time while the plan that they subscribe to changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.outcomes import Status
from tests.scenarios.fleet_world import document
from tests.scenarios.makes_world import MakesWorld, makes_world

NAME = "gravitee-dev"
MOBILE = Key(APPLICATION, "acme", "mobile")
BILLING = Key("api", "acme", "billing")
OLD = "an-old-key-with-more-than-32-letters"
WAYS: dict[str, dict[str, Any]] = {
    "4.12": {"version": "4.12.12"},
    "4.10": {"version": "4.10.8"},
    "classic": {"version": "4.1.0", "has_automation": False, "has_import": False},
}
KEYS = "policies: [{type: api_key, config: {in: header, name: X-Gravitee-Api-Key}}]"
PATH = "tenants/acme/applications/mobile.yaml"
API_PATH = "tenants/acme/apis/billing/api.yaml"


def billing(plan: str) -> str:
    return document(
        "API",
        "billing",
        'version: "1"\nbackend: {url: https://billing.example}\n'
        f"routes: [{{path: /billing}}]\nplans: [{{name: {plan}, perMinute: 10}}]\n{KEYS}",
    )


def mobile(plan: str, key: str = "ACME_KEY", client: str = "") -> str:
    """An application of the plan; of the API `crm` alone where `plan` is empty."""
    credentials = f"{{type: api_key, keyRef: {{env: {key}}}}}"
    if client:
        credentials += f", {{type: jwt, clientIdRef: {{env: {client}}}}}"
    named = f"[{{api: billing, plan: {plan}}}, {{api: crm}}]" if plan else "[{api: crm}]"
    return document(
        "Application",
        "mobile",
        f"displayName: Mobile\ncredentials: [{credentials}]\nsubscriptions: {named}",
    )


CRM = document(
    "API",
    "crm",
    f'version: "1"\nbackend: {{url: https://crm.example}}\nroutes: [{{path: /crm}}]\n{KEYS}',
)


@asynccontextmanager
async def subscribed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> AsyncIterator[MakesWorld]:
    """Yield a world in which the application calls by its plan."""
    monkeypatch.setenv("ACME_KEY", OLD)
    async with makes_world(tmp_path, ["dev"], monkeypatch, WAYS[way], ["gravitee"]) as world:
        world.write(
            {
                "environments/dev.yaml": document("Environment", "dev"),
                "tenants/acme/tenant.yaml": document("Tenant", "acme"),
                API_PATH: billing("gold"),
                "tenants/acme/apis/crm/api.yaml": CRM,
                PATH: mobile("gold"),
            }
        )
        assert not world.read().errors, world.read().errors
        await world.converged()
        assert plan_of(world) == "gold"
        yield world


def plan_of(world: MakesWorld) -> str:
    """Return the plan of billing by which the old key lets in; empty where it does not."""
    store = world.gateways[NAME].double.store
    plans = {
        plan.id: plan.spec["name"]
        for api in store.apis.values()
        if api.spec["name"] == "billing"
        for plan in api.plans
        if plan.spec["status"] == "PUBLISHED"
    }
    found = [
        plans[one.plan_id]
        for one in store.subscriptions.values()
        for key in one.keys
        if one.plan_id in plans
        and (one.status, key.key, key.is_revoked) == ("ACCEPTED", OLD, False)
    ]
    return found[0] if found else ""


def refuse(world: MakesWorld, what: str) -> None:
    """Refuse each write of the application from now on, as a gateway does that lacks something."""
    double = world.gateways[NAME].double

    async def before(line: str) -> None:
        for pattern in what.split():
            if pattern in line and not line.startswith("GET"):
                double.fails_once("*" + pattern + "*", 400, "it does not take this")

    double.before = before


async def outcomes(world: MakesWorld) -> dict[Key, Status]:
    result = (await world.cycle())[NAME]
    return {one.change.key: one.status for one in result.report.outcomes}


async def quarantined(world: MakesWorld, plan: str) -> None:
    """Bring the application into quarantine, as it is but for its name."""
    refuse(world, "applications")
    world.write({PATH: mobile(plan).replace("Mobile", "Phone")})
    assert (await outcomes(world))[MOBILE] is Status.QUARANTINED
    assert plan_of(world) == "gold"


def plans_of(world: MakesWorld) -> set[str]:
    (api,) = [
        one for one in world.gateways[NAME].double.store.apis.values()
        if one.spec["name"] == "billing"
    ]  # fmt: skip
    return {one.spec["name"] for one in api.plans if one.spec["status"] == "PUBLISHED"}


@pytest.mark.parametrize("way", WAYS)
async def test_an_application_in_quarantine_goes_along_when_its_plan_is_renamed(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with subscribed(tmp_path, monkeypatch, way) as world:
        await quarantined(world, "gold")
        world.write({API_PATH: billing("silver"), PATH: mobile("silver").replace("Mobile", "Two")})
        seen = await outcomes(world)
        assert (seen[MOBILE], seen[BILLING]) == (Status.QUARANTINED, Status.APPLIED)
        assert plan_of(world) == "silver"
        world.gateways[NAME].writes()
        for _ in range(3):
            # It waits; nothing is written again and again, and nothing gets lost.
            assert not await outcomes(world)
            assert (plan_of(world), plans_of(world)) == ("silver", {"silver"})
        assert world.gateways[NAME].writes() == []
        world.gateways[NAME].double.before = None
        world.write({PATH: mobile("silver").replace("Mobile", "Three")})
        assert (await outcomes(world))[MOBILE] is Status.APPLIED
        assert plan_of(world) == "silver"
        assert all(plan.is_empty for plan in (await world.plans()).values())


@pytest.mark.parametrize("way", WAYS)
async def test_an_application_that_was_refused_before_its_plan_went_keeps_its_key(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its document is the same over both: in the second cycle it is in no write."""
    async with subscribed(tmp_path, monkeypatch, way) as world:
        refuse(world, "applications _transfer")
        world.write({API_PATH: billing("silver"), PATH: mobile("silver")})
        seen = await outcomes(world)
        assert seen[MOBILE] is Status.QUARANTINED
        # The plan that nobody could be brought away from stays.
        assert plan_of(world) == "gold"
        for _ in range(2):
            assert (await outcomes(world)).get(BILLING) is not Status.APPLIED
            assert plan_of(world) == "gold"
        # By itself, and with the application still in quarantine.
        refuse(world, "applications")
        assert (await outcomes(world))[BILLING] is Status.APPLIED
        assert (plan_of(world), plans_of(world)) == ("silver", {"silver"})
        world.gateways[NAME].double.before = None
        # An hour later it is tried again.
        world.clock.turn(hours=2)
        assert (await outcomes(world)) == {MOBILE: Status.APPLIED}
        assert plan_of(world) == "silver"
        assert all(plan.is_empty for plan in (await world.plans()).values())


@pytest.mark.parametrize("way", WAYS)
async def test_an_application_in_quarantine_loses_what_it_no_longer_asks_for(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with subscribed(tmp_path, monkeypatch, way) as world:
        await quarantined(world, "gold")
        world.write({PATH: mobile("").replace("Mobile", "Two")})
        assert (await outcomes(world))[MOBILE] is Status.QUARANTINED
        assert plan_of(world) == ""
        world.write({API_PATH: billing("silver")})
        assert (await outcomes(world))[BILLING] is Status.APPLIED
        assert (plan_of(world), plans_of(world)) == ("", {"silver"})
        world.gateways[NAME].double.before = None
        world.write({PATH: mobile("").replace("Mobile", "Three")})
        assert (await outcomes(world))[MOBILE] is Status.APPLIED
        assert plan_of(world) == ""
        assert all(plan.is_empty for plan in (await world.plans()).values())


@pytest.mark.parametrize("way", WAYS)
async def test_an_application_whose_secret_is_away_goes_along_when_its_plan_is_renamed(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with subscribed(tmp_path, monkeypatch, way) as world:
        monkeypatch.delenv("ACME_KEY")
        world.write({API_PATH: billing("silver"), PATH: mobile("silver")})
        seen = await outcomes(world)
        assert seen[BILLING] is Status.APPLIED
        assert seen.get(MOBILE) is not Status.APPLIED
        assert (plan_of(world), plans_of(world)) == ("silver", {"silver"})
        monkeypatch.setenv("ACME_KEY", OLD)
        assert (await outcomes(world)).get(MOBILE) is Status.APPLIED
        assert plan_of(world) == "silver"


async def test_an_application_that_is_deleted_in_quarantine_loses_its_access(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with subscribed(tmp_path, monkeypatch, "4.12") as world:
        await quarantined(world, "gold")
        world.gateways[NAME].double.before = None
        world.write({PATH: None, API_PATH: billing("silver")})
        seen = await outcomes(world)
        assert (seen[MOBILE], seen[BILLING]) == (Status.APPLIED, Status.APPLIED)
        assert (plan_of(world), plans_of(world)) == ("", {"silver"})
        assert all(plan.is_empty for plan in (await world.plans()).values())
