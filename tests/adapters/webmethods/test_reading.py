"""What the adapter reads, how often, and what it makes of a gateway that refuses everything."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stoa_gitops.model.canonical import SECRET_FIELD
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.testbed import LOG, branch, leaf
from tests.contract.rig import BILLING, CRM, MOBILE, SECRETS, api

TILL = Key(APPLICATION, "acme", "till")


async def fields(bed: Bed, specs: dict[Key, dict[str, Any]]) -> str:
    """The drift that a plan finds, as text."""
    plan = await bed.rig.plan(specs)
    return " ".join(str(one) for change in plan.changes for one in change.fields)


async def test_a_light_observation_is_two_requests_and_the_tenth_reads_definitions(
    old: Bed,
) -> None:
    specs = {CRM: api("crm")}
    await old.rig.converge(specs)
    counts = []
    for _ in range(11):
        old.double.requests.clear()
        await old.rig.driver.health()
        await old.rig.observe()
        counts.append(len(old.double.requests))
    # One of them is deep: what the gateway is, definitions, and objects of the whole gateway.
    assert sorted(counts)[:9] == [2] * 9
    assert 5 <= max(counts) <= 11
    # The same bytes: the identical lists.
    one, two = await old.rig.observe(), await old.rig.observe()
    assert one.objects is two.objects


async def test_what_shows_late_is_waited_for(old: Bed) -> None:
    old.double.lag(2)
    outcomes = await old.rig.converge(old.specs)
    assert {one.status for one in outcomes} == {Status.APPLIED}, outcomes
    assert (await old.rig.plan(old.specs)).is_empty
    outcomes = await old.rig.converge({})
    assert {one.status for one in outcomes} == {Status.APPLIED}, outcomes


async def test_a_licence_that_ended_is_said_and_nothing_is_deleted(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    old.double.is_expired = True
    health = await old.rig.driver.health()
    assert (health.success, health.reason) == (False, "GatewayUnauthorized")
    assert "licence" in str(health.error)
    state = await old.rig.observe()
    assert (state.is_complete, state.error_reason) == (False, "GatewayUnauthorized")


@pytest.mark.parametrize("what", ["read-only", "quiesce"])
async def test_a_gateway_that_takes_no_writes_is_busy_and_says_why(old: Bed, what: str) -> None:
    plan = await old.rig.plan({CRM: api("crm")})
    old.double.is_read_only = what == "read-only"
    old.double.store.quiesced = "designtime" if what == "quiesce" else None
    (outcome,) = await old.rig.execute(plan)
    assert (outcome.status, outcome.reason) == (Status.FAILED, "GatewayBusy")
    assert what in outcome.message
    old.double.is_read_only, old.double.store.quiesced = False, None
    await old.rig.converge({CRM: api("crm")})
    assert (await old.rig.plan({CRM: api("crm")})).is_empty


async def test_a_page_with_a_good_status_is_no_answer(old: Bed) -> None:
    plan = await old.rig.plan({CRM: api("crm")})
    old.double.faults.fail("POST */apis", 200, "<!doctype html>Sign in", times=5)
    (outcome,) = await old.rig.execute(plan)
    assert (outcome.status, outcome.reason) == (Status.FAILED, "GatewayMalformed")


async def test_a_refusal_inside_a_good_status_is_one(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    plan = await old.rig.plan({CRM: api("crm", displayName="Customers")})
    old.double.faults.answer_status("PUT */apis/*", "PARTIAL_SUCCESS", times=9)
    (outcome,) = await old.rig.execute(plan)
    assert outcome.status in (Status.FAILED, Status.QUARANTINED)
    assert "PARTIAL_SUCCESS" in outcome.message


async def test_an_account_that_may_only_read_is_unauthorized(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    old.double.readers.add("Administrator")
    plan = await old.rig.plan({})
    (outcome,) = await old.rig.execute(plan)
    # A list shows the API, so that its 401 is not that of an id that nobody has.
    assert (outcome.status, outcome.reason) == (Status.FAILED, "GatewayUnauthorized")
    old.double.readers.discard("Administrator")


async def test_what_is_gone_already_is_deleted(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    plan = await old.rig.plan({})
    held = old.api("acme-crm")["id"]
    await old.person.call("PUT", f"/apis/{held}/deactivate")
    await old.person.call("DELETE", f"/apis/{held}")
    assert [one.status for one in await old.rig.execute(plan)] == [Status.APPLIED]
    await old.rig.converge({})
    assert [alias["name"] for alias in old.double.store.aliases] == ["local"]


async def test_every_change_by_hand_shows_and_goes(old: Bed) -> None:
    specs = old.specs
    await old.rig.converge(specs)
    held, person = old.api("acme-billing"), old.person
    (limit,) = [one for one in old.actions("acme-billing", "throttle")
                if "rate_limit" in str(one["names"])]  # fmt: skip
    changed = {**limit, "parameters": [
        *[one for one in limit["parameters"] if one["templateKey"] != "alertInterval"],
        leaf("alertInterval", "7"),
    ]}  # fmt: skip
    await person.call("PUT", f"/policyActions/{limit['id']}", {"policyAction": changed})
    log = await person.add_action("logInvocation", LOG)
    throttles = [one["id"] for one in old.actions("acme-billing", "throttle")]
    await person.place(held["policies"][0], "LMT", *throttles, log["id"])
    alias = next(one for one in old.double.store.aliases if one["name"] == "acme-billing-backend")
    await person.call("PUT", f"/alias/{alias['id']}", {**alias, "suspendDurationOnFailure": 9})
    (app,) = old.double.store.applications
    await person.call("PATCH", f"/applications/{app['id']}", {"isSuspended": True})
    await person.call("PUT", f"/applications/{app['id']}/apis", {"apiIDs": []})
    found = await fields(old, specs)
    for part in ("alertInterval", "logInvocation", "suspendDurationOnFailure", "isSuspended",
                 "apis.acme/billing"):  # fmt: skip
        assert part in found, part
    await old.rig.converge(specs)
    assert (await old.rig.plan(specs)).is_empty
    assert log["id"] not in old.double.store.actions
    assert old.keys("acme-billing") == {"mobile-key-1"}


async def test_another_operation_of_a_definition_is_drift(new: Bed) -> None:
    await new.rig.converge({CRM: api("crm")})
    held = new.api("acme-crm")
    held["apiDefinition"]["paths"]["/"]["get"]["enabled"] = False
    held["lastModified"] = "2026-12-01 00:00:00 GMT"
    assert "definition./.GET" in await fields(new, {CRM: api("crm")})
    await new.rig.converge({CRM: api("crm")})
    assert (await new.rig.plan({CRM: api("crm")})).is_empty


async def test_a_version_that_somebody_made_of_our_api_is_foreign(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    held = old.api("acme-crm")["id"]
    await old.person.call("POST", f"/apis/{held}/versions", {"newApiVersion": "9"})
    state = await old.rig.observe()
    assert [one.gateway_id for one in state.objects if one.managed] == [held]
    assert (await old.rig.plan({CRM: api("crm")})).is_empty
    await old.rig.converge({})
    assert len(old.names()) == 1


async def test_a_foreign_api_is_adopted_under_its_own_name_and_id(old: Bed) -> None:
    made = await old.person.add_api("pets", is_active=True)
    cors = branch("corsAttributes", leaf("allowedOrigins", "https://a.example"))
    action = await old.person.add_action("cors", [cors])
    await old.person.place(made["policies"][0], "responseProcessing", action["id"])
    state = await old.rig.observe()
    found = {one.key.name: one for one in state.objects}
    assert found["pets"].spec.value["backend"] == {"url": "https://pets.example/v2",
                                                   "timeout": "30s"}  # fmt: skip
    assert found["pets.cors"].spec.value["config"]["origins"] == ["https://a.example"]
    assert not any(one.managed for one in found.values())
    unmapped = await old.rig.adapter.list_unmapped()
    assert all(one.key is not None for one in unmapped)


async def test_a_link_of_somebody_elses_application_holds_a_deletion_back(old: Bed) -> None:
    await old.rig.converge({CRM: api("crm")})
    held = old.api("acme-crm")["id"]
    body = {"name": "Partner", "newApisForAssociation": [held]}
    await old.person.call("POST", "/applications", body)
    (outcome,) = await old.rig.converge({})
    assert (outcome.status, outcome.reason) == (Status.QUARANTINED, "ObjectConflict")
    assert "Partner" in outcome.message
    assert old.api("acme-crm")["isActive"]


async def test_a_key_that_another_application_has_is_a_conflict_that_names_it(
    old: Bed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"name": "Partner", "identifiers": [
        {"key": "apiKey", "name": "key", "value": [SECRETS["env:MOBILE_KEY"]]}
    ]}  # fmt: skip
    await old.person.call("POST", "/applications", body)
    outcomes = {one.change.key: one for one in await old.rig.converge(old.specs)}
    refused = outcomes[MOBILE]
    assert (refused.status, refused.reason) == (Status.QUARANTINED, "ObjectConflict")
    assert "Partner" in refused.message
    assert outcomes[BILLING].status is Status.APPLIED
    shown = caplog.text + repr(outcomes) + repr(await old.rig.observe())
    assert not [value for value in SECRETS.values() if value in shown]


async def test_two_applications_of_one_catalog_cannot_have_one_key(old: Bed) -> None:
    specs = {**old.specs, TILL: old.specs[MOBILE]}
    outcomes = {one.change.key: one for one in await old.rig.converge(specs)}
    assert sorted(outcomes[key].status.value for key in (MOBILE, TILL)) == [
        "applied", "quarantined",
    ]  # fmt: skip


async def test_another_key_replaces_the_first(old: Bed) -> None:
    await old.rig.converge(old.specs)
    specs = old.specs
    credential = {"type": "api_key", "key": {SECRET_FIELD: "env:BILLING_KEY"}}
    specs[MOBILE] = {**specs[MOBILE], "credentials": [credential]}
    plan = await old.rig.plan(specs)
    assert [(one.action, one.key) for one in plan.changes] == [(Action.UPDATE, MOBILE)]
    await old.rig.execute(plan)
    assert old.keys("acme-billing") == {"billing-key-1"}


async def test_the_path_setting_of_the_gateway_is_asked_for(old: Bed) -> None:
    store = old.double.store
    setting = "watt.server.url.alias.partialMatching"
    for value, count in (("false", 1), ("true", 0)):
        store.configurations["settings"]["wattKeys"][setting] = value
        old.rig.adapter.session.info = None
        await old.rig.adapter.session.gateway_info()
        find = old.rig.driver.rules.losses
        assert find is not None
        found = [one for one in find("api", api("crm")) if setting in one.message]
        assert len(found) == count


async def test_ids_that_are_none_are_not_asked_for_and_hide_nothing(new: Bed) -> None:
    """Others may link their applications to anything; what was applied is asked for first."""
    await new.rig.converge(new.specs)
    odd = ["../alias", "a b", "x?y=z", "é", "", {"id": None}, *(f"gone-{n}" for n in range(200))]
    body = {"id": "theirs", "name": "theirs", "description": "", "identifiers": [],
            "consumingAPIs": odd}  # fmt: skip
    new.double.store.applications.put("theirs", body)
    ours = next(one for one in new.double.store.applications if one["name"] != "theirs")
    assert new.rig.restart is not None
    assert new.rig.lists is not None
    await new.rig.restart()
    new.rig.lists.leave_out(ours["id"])
    new.double.requests.clear()
    plan = await new.rig.plan(new.specs)
    assert plan.complete, plan.error
    assert MOBILE not in {change.key for change in plan.changes}
    asked = [line for line in new.double.requests if "/apis/" in line]
    assert len(asked) <= 40 + len(new.double.store.apis)
    assert not [line for line in asked if line.rpartition("/")[2] in ("alias", "a b", "x", "é")]


async def test_a_definition_that_is_no_definition_holds_nothing_up(new: Bed) -> None:
    specs = {CRM: api("crm"), BILLING: api("billing")}
    await new.rig.converge(specs)
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"x": deep}
    held = new.api("acme-crm")
    held["apiDefinition"] = {**held["apiDefinition"], "info": [deep], "x": deep}
    held["lastModified"] = "2026-12-01 00:00:00 GMT"
    plan = await new.rig.plan(specs)
    assert plan.complete, plan.error
    assert [change.key for change in plan.changes] == [CRM]
    await new.rig.converge(specs)
    assert (await new.rig.plan(specs)).is_empty
