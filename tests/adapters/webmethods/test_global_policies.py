"""Global policies for the APIs of a tenant: whom they reach, drift, conflicts, and their end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.webmethods.mapping.rules import losses
from stoa_gitops.adapters.webmethods.rendering import render_object
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.kinds import GLOBAL_POLICY
from stoa_gitops.model.outcomes import Status
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.double.scopes_of_policies import is_selected
from tests.adapters.webmethods.testbed import LOG
from tests.contract.rig import CRM, api

CORS = Key(GLOBAL_POLICY, "", "acme-cors")
SHOP = Key(API, "acme-shop", "crm")
SPEC: dict[str, Any] = {"tenant": "acme", "cors": {"origins": ["https://a.example"]}}
SPECS: dict[Key, dict[str, Any]] = {
    CRM: api("crm"),
    SHOP: api("shop", routes=[{"path": "/shop", "methods": [], "hosts": [], "stripPath": True}]),
    CORS: SPEC,
}
APPLIED = {Status.APPLIED}


def held(bed: Bed) -> dict[str, Any]:
    (found,) = [one for one in bed.double.store.policies
                if one["global"] and "acme-cors" in str(one["names"])]  # fmt: skip
    return dict(found)


def reached(bed: Bed) -> list[str]:
    policy = held(bed)
    found = [one["apiName"] for one in bed.double.store.apis if is_selected(policy, one)]
    return sorted(found) if policy["active"] else []


async def test_it_reaches_the_apis_of_its_tenant_and_no_others(old: Bed) -> None:
    await old.person.add_api("acme-by-hand", is_active=True)
    outcomes = await old.rig.converge(SPECS)
    assert {one.status for one in outcomes} == APPLIED, outcomes
    # `acme-` begins the names of the tenant `acme-shop`, too.
    assert reached(old) == ["acme-crm"]
    old.rig.records.clear()
    assert (await old.rig.plan(SPECS)).is_empty
    later = {**SPECS, Key(API, "acme", "later"): api("later")}
    await old.rig.converge(later)
    assert reached(old) == ["acme-crm", "acme-later"]


@pytest.mark.parametrize("what", ["scope", "active", "action", "enforcements"])
async def test_a_change_by_hand_shows_and_is_put_right_under_the_same_id(
    old: Bed, what: str
) -> None:
    await old.rig.converge(SPECS)
    before = held(old)
    policy_id = before["id"]
    if what == "active":
        await old.person.call("PUT", f"/policies/{policy_id}/deactivate")
    elif what == "action":
        (action,) = old.double.store.action_ids(before)
        found = (await old.person.call("GET", f"/policyActions/{action}"))["policyAction"]
        changed = json.loads(json.dumps(found).replace("https://a.example", "*"))
        await old.person.call("PUT", f"/policyActions/{action}", {"policyAction": changed})
    else:
        emptied = {"scope": {"scope": None}, "enforcements": {"policyEnforcements": []}}[what]
        body = {"policy": {**before, **emptied}}
        await old.person.call("PUT", f"/policies/{policy_id}", body)
    await old.rig.adapter.disconnect()
    plan = await old.rig.plan(SPECS)
    assert [change.key for change in plan.changes] == [CORS]
    assert "webmethods" in str(plan.changes[0].fields)
    await old.rig.execute(plan)
    assert held(old)["id"] == policy_id
    assert reached(old) == ["acme-crm"]
    assert (await old.rig.plan(SPECS)).is_empty


async def test_global_policies_of_others_stay_as_they_are(old: Bed) -> None:
    log = await old.person.add_action("logInvocation", LOG)
    named = {"names": [{"value": "theirs", "locale": "en"}], "policyScope": "GLOBAL",
             "global": True}  # fmt: skip
    made = (await old.person.call("POST", "/policies", {"policy": named}))["policy"]
    await old.person.place(made["id"], "LMT", log["id"])
    before = json.dumps(await old.person.call("GET", f"/policies/{made['id']}"))
    await old.rig.converge(SPECS)
    await old.rig.converge({CRM: SPECS[CRM]})
    assert json.dumps(await old.person.call("GET", f"/policies/{made['id']}")) == before
    assert log["id"] in old.double.store.actions


async def test_one_of_the_same_name_is_not_taken_over(old: Bed) -> None:
    named = {"names": [{"value": "stoa-gitops acme-cors", "locale": "en"}],
             "policyScope": "GLOBAL", "global": True}  # fmt: skip
    await old.person.call("POST", "/policies", {"policy": named})
    (outcome,) = await old.rig.converge({CORS: SPEC})
    assert (outcome.status, outcome.reason) == (Status.QUARANTINED, "ObjectConflict")


async def test_it_goes_in_the_order_that_keeps_the_actions_of_others(old: Bed) -> None:
    await old.rig.converge(SPECS)
    log = await old.person.add_action("logInvocation", LOG)
    await old.person.place(held(old)["id"], "LMT", log["id"])
    await old.rig.adapter.disconnect()
    old.writes()
    outcomes = await old.rig.converge({CRM: SPECS[CRM], SHOP: SPECS[SHOP]})
    assert {one.status for one in outcomes} == APPLIED, outcomes
    assert old.writes() == [
        "PUT /policies/…/deactivate",
        "PUT /policies/…",
        "DELETE /policies/…",
        "DELETE /policyActions/…",
    ]
    assert old.strays() == [log["id"]]


async def test_one_that_clashes_with_the_policy_of_an_api_is_inactive_and_says_so(
    old: Bed,
) -> None:
    own = {"api": "crm", "type": "cors", "priority": 1,
           "config": {"origins": ["*"], "credentials": False}}  # fmt: skip
    outcomes = await old.rig.converge({**SPECS, CRM.policy("cors"): own})
    failed = {one.change.key: one for one in outcomes if one.status is not Status.APPLIED}
    assert set(failed) == {CORS}
    assert (failed[CORS].status, failed[CORS].reason) == (Status.QUARANTINED, "ObjectConflict")
    assert "may occur once" in failed[CORS].message
    assert reached(old) == []


async def test_one_that_would_reach_another_tenant_is_inactive_and_says_whom(old: Bed) -> None:
    text = "[stoa-gitops owner=default key=acme/x]"
    specs = {**SPECS, SHOP: {**SPECS[SHOP], "description": text}}
    outcomes = await old.rig.converge(specs)
    failed = [one for one in outcomes if one.status is not Status.APPLIED]
    assert [one.change.key for one in failed] == [CORS]
    assert "acme-shop-crm" in failed[0].message
    assert reached(old) == []


def test_what_needs_callers_who_are_identified_is_lost_and_said() -> None:
    spec = {"tenant": "acme", "rate_limit": {"requests": 1, "window": "1m", "by": "consumer"}}
    (loss,) = losses(GLOBAL_POLICY, spec, None)
    assert not loss.is_partial
    assert "rate_limit" in loss.message
    assert losses(GLOBAL_POLICY, SPEC, None) == ()
    (nothing,) = losses(GLOBAL_POLICY, {"tenant": "acme"}, None)
    assert "name `cors` or `logging`" in nothing.message


def test_render_shows_the_filter_and_the_actions() -> None:
    spec = ObjectSpec(CORS, CORS.identifier("default"), "default", SPEC)
    shown: Any = render_object(spec)
    assert "owner=default key=acme/" in str(shown["policy"]["scope"])
    assert [one["templateKey"] for one in shown["policyActions"]] == ["cors"]
