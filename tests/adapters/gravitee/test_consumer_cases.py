"""Applications whose world changed: their plan is gone, their key is new or another's."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.gravitee.rig import APIS
from tests.adapters.gravitee.testbed import CLASSIC, Bed, bed
from tests.contract import rig as contract
from tests.contract.rig import BILLING, CRM, MOBILE

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "automation": ("4.12.12", {}),
    "4.10": ("4.10.8", {}),
    "import": ("4.6.0", {"has_automation": False}),
    "classic": ("4.1.0", CLASSIC),
}
OLD = "an-old-key-with-more-than-32-letters"
NEW = "a-fresh-key-with-more-than-32-letters"
TILL = Key(APPLICATION, "acme", "till")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contract.SECRETS, "env:MOBILE_KEY", OLD)
    monkeypatch.setitem(contract.SECRETS, "env:FRESH", NEW)
    monkeypatch.setitem(contract.HMACS, "env:FRESH", "hmac-fresh")


def working(here: Bed) -> list[str]:
    return sorted(key for key, works in here.keys().items() if works)


def with_key(spec: Any, *references: str) -> Any:
    keyed = [{"type": "api_key", "key": {"$secret": one}} for one in references]
    return {**spec, "credentials": keyed}


@pytest.mark.parametrize("way", WAYS)
async def test_a_fresh_key_takes_the_place_of_the_old_one(way: str) -> None:
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        assert working(here) == [OLD]
        fresh = {**here.specs, MOBILE: with_key(here.specs[MOBILE], "env:FRESH")}
        outcomes = await here.rig.converge(fresh)
        assert [(o.change.key, o.status) for o in outcomes] == [(MOBILE, Status.APPLIED)]
        assert working(here) == [NEW]
        assert (await here.rig.plan(fresh)).is_empty


@pytest.mark.parametrize("way", WAYS)
async def test_a_subscription_to_a_plan_that_is_gone_ends_with_its_key(way: str) -> None:
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        gone = here.specs
        gone[BILLING] = {**gone[BILLING], "plans": [{"name": "bronze", "perMinute": 1}]}
        outcomes = await here.rig.converge(gone)
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        assert working(here) == []
        for _ in range(2):
            here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]  # a deep look
            await here.rig.converge(gone)
        assert (await here.rig.plan(gone)).is_empty
        assert {plan.spec["name"] for plan in here.api("Billing").plans
                if plan.spec["status"] == "PUBLISHED"} == {"bronze"}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_the_key_of_another_application_is_refused_and_stays_with_it(way: str) -> None:
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        specs = here.specs
        specs[TILL] = {**specs[MOBILE], "displayName": "Till"}
        specs[CRM] = {**specs[CRM], "displayName": "Customers"}
        outcomes = {o.change.key: o for o in await here.rig.converge(specs)}
        assert outcomes[TILL].status is Status.QUARANTINED
        assert "another application of this environment has the key" in outcomes[TILL].message
        assert OLD not in repr(outcomes)
        # What has nothing to do with it is written, and the first one may go on calling.
        assert outcomes[CRM].status is Status.APPLIED
        (mobile,) = [one for one in here.double.store.applications.values()
                     if one.spec["name"] == "Mobile"]  # fmt: skip
        holders = [
            one.application_id
            for one in here.double.store.subscriptions.values()
            for key in one.keys
            if key.key == OLD and not key.is_revoked and one.status == "ACCEPTED"
        ]
        assert holders == [mobile.id]


LIES = {
    "fault": (500, "it broke"),
    "page": (200, "<!doctype html><p>Sign in"),
    "lie": (200, '{"status": "ACCEPTED"}'),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("way", WAYS)
async def test_a_plan_stays_until_every_application_has_taken_its_key_along(
    way: str, lie: str
) -> None:
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        renamed = here.specs
        renamed[BILLING] = {**renamed[BILLING], "plans": [{"name": "silver", "perMinute": 100}]}
        subscriptions = [{"api": "billing", "plan": "silver"}]
        renamed[MOBILE] = {**renamed[MOBILE], "subscriptions": subscriptions}
        plan = await here.rig.plan(renamed)
        here.double.fails_once("*_transfer", *LIES[lie])
        outcomes = {o.change.key: o for o in await here.rig.execute(plan)}
        assert outcomes[MOBILE].status is Status.FAILED
        assert (outcomes[BILLING].status, outcomes[BILLING].reason) == (
            Status.BLOCKED, "DependencyFailed",
        )  # fmt: skip
        assert "application/acme/mobile" in outcomes[BILLING].message
        # The key of a subscription that ended with its plan could never be used again.
        assert working(here) == [OLD]
        outcomes = {o.change.key: o for o in await here.rig.converge(renamed)}
        assert {o.status for o in outcomes.values()} == {Status.APPLIED}, outcomes
        assert working(here) == [OLD]
        assert (await here.rig.plan(renamed)).is_empty
        assert {plan.spec["name"] for plan in here.api("Billing").plans
                if plan.spec["status"] == "PUBLISHED"} == {"silver"}  # fmt: skip


async def test_an_api_that_was_not_written_is_not_written_to_remove_its_plans() -> None:
    async with bed() as here:
        await here.rig.converge(here.specs)
        renamed = here.specs
        renamed[BILLING] = {**renamed[BILLING], "plans": [{"name": "silver", "perMinute": 100}]}
        subscriptions = [{"api": "billing", "plan": "silver"}]
        renamed[MOBILE] = {**renamed[MOBILE], "subscriptions": subscriptions}
        plan = await here.rig.plan(renamed)
        here.double.fails_once("PUT /automation/*/apis", 400, "refused")
        outcomes = {o.change.key: o for o in await here.rig.execute(plan)}
        assert outcomes[BILLING].status is Status.QUARANTINED
        assert {plan.spec["name"] for plan in here.api("Billing").plans
                if plan.spec["status"] == "PUBLISHED"} == {"gold"}  # fmt: skip
        assert working(here) == [OLD]


def moved(specs: Any, plan: str) -> Any:
    """Return a catalog whose one plan is called otherwise, with its application."""
    subscriptions = [{"api": "billing", "plan": plan}]
    return {
        **specs,
        BILLING: {**specs[BILLING], "plans": [{"name": plan, "perMinute": 100}]},
        MOBILE: {**specs[MOBILE], "subscriptions": subscriptions},
    }


@pytest.mark.parametrize("way", WAYS)
async def test_an_application_comes_again_after_its_plan_was_renamed(way: str) -> None:
    """Its subscription has the id of the first plan, and is pending once it is restored."""
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        renamed = moved(here.specs, "silver")
        await here.rig.converge(renamed)
        await here.rig.converge({key: spec for key, spec in renamed.items() if key != MOBILE})
        assert working(here) == []
        outcomes = await here.rig.converge(renamed)
        assert [(o.change.key, o.status) for o in outcomes] == [(MOBILE, Status.APPLIED)], outcomes
        assert working(here) == [OLD]
        assert (await here.rig.plan(renamed)).is_empty


async def test_an_application_that_never_had_access_keeps_no_plan() -> None:
    async with bed("4.10.8") as here:
        await here.rig.converge(here.specs)
        thief = {**here.specs[MOBILE], "displayName": "Till"}
        await here.rig.converge({**here.specs, TILL: thief})
        # Gravitee made keys of its own for the subscription whose key it refused.
        assert working(here) == [OLD]
        renamed = moved(here.specs, "silver")
        outcomes = {
            o.change.key: o
            for o in await here.rig.converge(
                {**renamed, TILL: {**thief, "subscriptions": renamed[MOBILE]["subscriptions"]}}
            )
        }
        assert outcomes[TILL].status is Status.QUARANTINED
        assert working(here) == [OLD]


async def test_an_api_whose_old_plan_is_still_used_is_not_written_again_and_again() -> None:
    async with bed() as here:
        await here.rig.converge(here.specs)
        renamed = moved(here.specs, "silver")
        here.double.fails_once("*_transfer", *LIES["fault"])
        outcomes = {o.change.key: o for o in await here.rig.converge(renamed)}
        assert outcomes[BILLING].status is Status.BLOCKED
        here.writes()
        here.double.fails_once("*_transfer", *LIES["fault"])
        outcomes = {o.change.key: o for o in await here.rig.converge(renamed)}
        assert outcomes[BILLING].status is Status.BLOCKED
        # Each PUT deploys the API anew.
        assert not [line for line in here.writes() if line == "PUT automation/apis"]
        await here.rig.converge(renamed)
        assert working(here) == [OLD]
        assert (await here.rig.plan(renamed)).is_empty


@pytest.mark.parametrize("way", WAYS)
async def test_a_plan_that_somebody_closed_opens_under_another_name(way: str) -> None:
    """Gravitee opens no closed plan again; its subscriptions ended with it."""
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        held = here.api("Billing")
        (closed,) = held.plans
        path = f"{APIS}/{held.id}/plans/{closed.id}/_close"
        (await here.person.post(path)).raise_for_status()
        assert working(here) == []
        for _ in range(2):
            here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]  # a deep look
            outcomes = await here.rig.converge(here.specs)
            assert {o.change.key: o.status for o in outcomes}.get(BILLING) in (None, Status.APPLIED)
        (plan,) = (p for p in here.api("Billing").plans if p.spec["status"] == "PUBLISHED")
        assert (plan.spec["name"], plan.id != closed.id) == ("gold", True)
        if version == "4.10.8":
            # A deleted subscription is gone there, and with it what keeps its key.
            assert working(here) == [OLD]
        # The name stays, whatever is written afterwards.
        changed = {**here.specs, BILLING: {**here.specs[BILLING], "displayName": "Invoices"}}
        outcomes = await here.rig.converge(changed)
        assert {o.change.key: o.status for o in outcomes}[BILLING] is Status.APPLIED
        (again,) = (p for p in here.api("Invoices").plans if p.spec["status"] == "PUBLISHED")
        assert again.id == plan.id


@pytest.mark.parametrize("way", WAYS)
async def test_subscriptions_that_are_right_are_not_written_again(way: str) -> None:
    """An application of hundreds of APIs would never be done within the time of one write."""
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        here.writes()
        renamed = {**here.specs, MOBILE: {**here.specs[MOBILE], "displayName": "Phone"}}
        outcomes = await here.rig.converge(renamed)
        assert [(o.change.key, o.status) for o in outcomes] == [(MOBILE, Status.APPLIED)]
        assert not [line for line in here.writes() if "subscriptions" in line]
        assert working(here) == [OLD]
