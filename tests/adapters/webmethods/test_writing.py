"""How the adapter writes APIs: what is served stays so, and what stops half way is finished."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stoa_gitops.model.outcomes import Outcome, Status
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.double import runtime
from tests.contract import rig as contract
from tests.contract.rig import BILLING, CRM, LIMIT, MOBILE, api

PUT_API = "PUT /rest/apigateway/apis/*"


def statuses(outcomes: list[Outcome]) -> set[tuple[Status, str]]:
    return {(one.status, one.reason) for one in outcomes}


async def changed(bed: Bed, **changes: Any) -> list[Outcome]:
    return await bed.rig.converge({CRM: api("crm", **changes)})


async def test_an_api_is_activated_last_and_reached_by_its_path(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    lines = old.writes()
    assert lines[0] == "POST /apis"
    assert lines[-2:] == ["PUT /apis/…/activate", "POST /urlaliases"]
    held = old.api("acme-crm")
    assert runtime.target(old.double.store, held) == "https://crm.example/v2/${sys:resource_path}"
    (alias,) = old.double.store.url_aliases
    assert (alias["alias"], alias["urlPath"]) == ("apis/acme/crm", "gateway/acme-crm/1.0.0")


async def test_an_active_api_of_10_15_is_updated_and_served_again(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    before = old.api("acme-crm")["id"]
    old.writes()
    assert statuses(await changed(old, version="2.0.0")) == {(Status.APPLIED, "")}
    assert old.writes() == [
        "PUT /apis/…", "PUT /apis/…/deactivate", "PUT /apis/…", "PUT /apis/…/activate",
        "PUT /urlaliases",
    ]  # fmt: skip
    held = old.api("acme-crm")
    assert (held["id"], held["isActive"], held["apiVersion"]) == (before, True, "2.0.0")


async def test_an_active_api_of_11_is_updated_while_it_is_served(new: Bed) -> None:
    await new.rig.converge({CRM: api("crm")})
    new.writes()
    assert statuses(await changed(new, displayName="Customers")) == {(Status.APPLIED, "")}
    assert new.writes() == ["PUT /apis/…", "PUT /policies/…"]
    assert new.api("acme-crm")["isActive"]


async def test_a_failed_update_leaves_nothing_inactive(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    # The first PUT is refused, for the API is active; the second one fails.
    old.double.faults.fail("PUT */deactivate", 200, {}, times=1, is_done=True)
    plan = await old.rig.plan({CRM: api("crm", displayName="Customers")})
    old.double.faults.heal()
    old.double.faults.fail(PUT_API, 400, {"errorDetails": " API is active"}, times=1)
    old.double.faults.fail("PUT */deactivate", 200, {}, times=1, is_done=True)
    old.double.faults.fail(PUT_API, 500, {"errorDetails": " broken"}, times=1)
    assert statuses(await old.rig.execute(plan)) == {(Status.FAILED, "GatewayError")}
    assert old.api("acme-crm")["isActive"]


async def test_a_hot_update_that_fails_and_deactivates_is_undone(new: Bed) -> None:
    await new.rig.converge({CRM: api("crm")})
    new.double.behaviour.fails_hot_updates = True
    assert statuses(await changed(new, displayName="Customers")) == {
        (Status.FAILED, "GatewayError")
    }
    assert new.api("acme-crm")["isActive"]


async def test_another_backend_is_one_write_of_an_alias(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    old.writes()
    backend = {"url": "https://other.example", "timeout": "5s", "retries": 0}
    await changed(old, backend=backend)
    assert old.writes() == ["PUT /alias/…", "PUT /policies/…"]
    target = runtime.target(old.double.store, old.api("acme-crm"))
    assert target == "https://other.example/${sys:resource_path}"


async def test_a_creation_that_cannot_be_finished_is_taken_back(old: Bed) -> None:
    specs = {BILLING: old.rig.specs[BILLING], LIMIT: old.rig.specs[LIMIT]}
    old.double.faults.fail("PUT */policies/*", 500, times=9)
    outcomes = await old.rig.converge(specs)
    assert statuses(outcomes) == {(Status.FAILED, "GatewayError")}
    assert (old.names(), old.strays()) == ([], [])
    old.double.faults.heal()
    await old.rig.converge(specs)
    assert (await old.rig.plan(specs)).is_empty
    assert old.strays() == []


@pytest.mark.parametrize("after", range(1, 12))
async def test_an_apply_that_ends_at_any_call_is_finished_by_the_next(old: Bed, after: int) -> None:
    """Whatever call the process dies at: the credentials end there, and so do clean-ups."""
    specs = old.specs
    plan = await old.rig.plan(specs)
    old.double.revoke_after(after)
    outcomes = await old.rig.execute(plan, verify=False)
    assert {one.status for one in outcomes} <= {Status.APPLIED, Status.FAILED, Status.BLOCKED}
    assert "GatewayUnauthorized" in {one.reason for one in outcomes}
    old.double._left = None
    for _ in range(2):
        await old.rig.converge(specs)
    assert (await old.rig.plan(specs)).is_empty
    assert old.strays() == []
    await old.rig.converge({})
    store = old.double.store
    assert (old.names(), old.strays(), list(store.url_aliases)) == ([], [], [])
    assert [alias["name"] for alias in store.aliases] == ["local"]
    assert list(store.applications) == []


@pytest.mark.parametrize("after", range(1, 7))
async def test_a_deletion_that_ends_at_any_call_is_finished_by_the_next(
    old: Bed, after: int
) -> None:
    await old.rig.converge({CRM: api("crm")})
    plan = await old.rig.plan({})
    old.double.revoke_after(after)
    await old.rig.execute(plan, verify=False)
    old.double._left = None
    for _ in range(2):
        await old.rig.converge({})
    store = old.double.store
    assert (old.names(), list(store.url_aliases)) == ([], [])
    assert [alias["name"] for alias in store.aliases] == ["local"]


async def test_a_cancelled_apply_is_finished_by_the_next(old: Bed) -> None:
    plan = await old.rig.plan(old.specs)
    task = asyncio.create_task(old.rig.execute(plan))
    while not any("policyActions" in line for line in old.double.requests):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(2):
        await old.rig.converge(old.specs)
    assert (await old.rig.plan(old.specs)).is_empty
    assert old.strays() == []


async def test_a_reference_to_nothing_is_seen_and_repaired(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    (action,) = old.actions("acme-crm", "entryProtocolPolicy")
    await old.person.call("DELETE", f"/policyActions/{action['id']}")
    plan = await old.rig.plan({CRM: api("crm")})
    (field,) = plan.changes[0].fields
    assert f"actions.{action['id']}" in field.dotted or "webmethods" in field.dotted
    await old.rig.execute(plan)
    assert (await old.rig.plan({CRM: api("crm")})).is_empty
    await old.person.call("PUT", f"/apis/{old.api('acme-crm')['id']}/deactivate")
    await old.person.call("PUT", f"/apis/{old.api('acme-crm')['id']}/activate")


async def test_an_action_that_another_policy_has_is_never_deleted(old: Bed) -> None:
    await old.rig.converge({BILLING: old.rig.specs[BILLING], LIMIT: old.rig.specs[LIMIT]})
    (limit,) = old.actions("acme-billing", "throttle")
    feed = await old.person.add_api("feed")
    policy = (await old.person.call("GET", f"/policies/{feed['policies'][0]}"))["policy"]
    identify = old.actions("acme-billing", "evaluatePolicy")[0]["id"]
    for stage, key in (("IAM", identify), ("LMT", limit["id"])):
        placed = [{"enforcementObjectId": key, "order": "0"}]
        policy["policyEnforcements"].append({"stageKey": stage, "enforcements": placed})
    await old.person.call("PUT", f"/policies/{policy['id']}", {"policy": policy})
    await old.rig.converge({BILLING: old.rig.specs[BILLING]})
    assert limit["id"] in old.double.store.actions


async def test_limits_come_with_subscribers_and_go_with_them(old: Bed) -> None:
    await old.rig.converge(old.specs)
    (app,) = old.double.store.applications
    plan_limits = [
        one for one in old.actions("acme-billing", "throttle")
        if {"templateKey": "consumerIds", "values": [app["id"]]} in one["parameters"]
    ]  # fmt: skip
    assert len(plan_limits) == 1
    assert old.keys("acme-billing") == {"mobile-key-1"}
    await old.rig.converge({key: spec for key, spec in old.specs.items() if key != MOBILE})
    left = [str(one["parameters"]) for one in old.actions("acme-billing", "throttle")]
    assert not any(app["id"] in text for text in left)
    assert old.keys("acme-billing") == set()


async def test_an_application_is_limited_before_it_is_linked(old: Bed) -> None:
    specs = {key: spec for key, spec in old.specs.items() if key != MOBILE}
    await old.rig.converge(specs)
    old.writes()
    await old.rig.converge(old.specs)
    lines = old.writes()
    assert lines.index("PUT /policies/…") < lines.index("PUT /applications/…/apis")


@pytest.mark.parametrize(
    "subscription",
    [
        {"api": "billing", "plan": "gone"},
        {"api": "billing"},
        {"api": "billing", "plan": "gold", "ended": True, "expiresAt": "2026-01-01T00:00:00Z"},
    ],
)
async def test_no_plan_and_no_right_are_no_access(old: Bed, subscription: dict[str, Any]) -> None:
    await old.rig.converge(old.specs)
    specs = old.specs
    specs[MOBILE] = {**specs[MOBILE], "subscriptions": [subscription]}
    await old.rig.converge(specs)
    assert old.keys("acme-billing") == set()
    assert (await old.rig.plan(specs)).is_empty


async def test_a_path_is_never_one_that_another_begins_with(old: Bed) -> None:
    route = {"path": "/apis/acme/bill", "methods": [], "hosts": [], "stripPath": True}
    await old.rig.converge({BILLING: api("billing")})
    outcomes = await old.rig.converge({BILLING: api("billing"), CRM: api("crm", routes=[route])})
    assert statuses(outcomes) == {(Status.QUARANTINED, "ObjectConflict")}
    assert "/apis/acme/billing" in outcomes[0].message


async def test_a_name_that_a_foreign_api_has_is_told_with_its_owner(old: Bed) -> None:
    await old.person.add_api("acme-crm")
    outcomes = await old.rig.converge({CRM: api("crm")})
    assert statuses(outcomes) == {(Status.QUARANTINED, "ObjectConflict")}
    assert "adopt it" in outcomes[0].message


async def test_an_alias_that_somebody_made_is_left_alone(old: Bed) -> None:
    body = {"name": "acme-crm-backend", "type": "endpoint", "endPointURI": "https://x.example"}
    await old.person.call("POST", "/alias", body)
    outcomes = await old.rig.converge({CRM: api("crm")})
    assert statuses(outcomes) == {(Status.QUARANTINED, "ObjectConflict")}
    assert old.names() == []


async def test_two_paths_change_hands_without_a_moment_unserved(old: Bed) -> None:
    specs = {BILLING: api("billing"), CRM: api("crm")}
    await old.rig.converge(specs)
    old.writes()
    one, two = specs[CRM]["routes"], specs[BILLING]["routes"]
    swapped = {BILLING: {**specs[BILLING], "routes": one}, CRM: {**specs[CRM], "routes": two}}
    assert statuses(await old.rig.converge(swapped)) == {(Status.APPLIED, "")}
    assert "DELETE /urlaliases" not in old.writes()
    assert (await old.rig.plan(swapped)).is_empty


@pytest.mark.parametrize("times", [1, 2])
async def test_an_api_is_served_again_though_its_activation_failed_at_first(
    old: Bed, times: int
) -> None:
    await old.rig.converge(old.specs)
    changed = {**old.specs, BILLING: {**old.specs[BILLING], "version": "2.0.0"}}
    plan = await old.rig.plan(changed)
    old.double.faults.fail("PUT */activate", 500, times=times)
    outcomes = await old.rig.execute(plan)
    assert {one.status for one in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
    billing = old.api("acme-billing")
    assert (billing["isActive"], billing["apiVersion"]) == (True, "2.0.0")


async def test_an_api_that_cannot_be_activated_again_is_not_called_applied(old: Bed) -> None:
    await old.rig.converge(old.specs)
    changed = {**old.specs, BILLING: {**old.specs[BILLING], "version": "2.0.0"}}
    plan = await old.rig.plan(changed)
    old.double.faults.fail("PUT */activate", 500, times=100)
    outcomes = await old.rig.execute(plan)
    assert [(o.change.key, o.status, o.reason) for o in outcomes] == [
        (BILLING, Status.FAILED, "GatewayError")
    ]
    old.double.faults.heal()
    outcomes = await old.rig.converge(changed)
    assert {one.status for one in outcomes} == {Status.APPLIED}
    assert old.api("acme-billing")["isActive"]


async def test_a_fresh_key_that_was_acknowledged_and_not_stored_is_written_again(
    old: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(contract.SECRETS, "env:FRESH", "fresh-key-1")
    monkeypatch.setitem(contract.HMACS, "env:FRESH", "hmac-fresh")
    await old.rig.converge(old.specs)
    credential = {"type": "api_key", "key": {"$secret": "env:FRESH"}}
    specs = {**old.specs, MOBILE: {**old.specs[MOBILE], "credentials": [credential]}}
    plan = await old.rig.plan(specs)
    old.double.faults.fail("PUT */applications/*", 200, {})
    outcomes = await old.rig.execute(plan)
    assert statuses(outcomes) == {(Status.FAILED, "HalfWritten")}
    outcomes = await old.rig.converge(specs)
    assert statuses(outcomes) == {(Status.APPLIED, "")}
    accepted = runtime.accepted_keys(old.double.store, old.api("acme-billing"))
    assert "fresh-key-1" in accepted
    assert "mobile-key-1" not in accepted
