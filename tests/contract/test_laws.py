"""Laws of every adapter: what was found on one make of gateway and holds for all of them.

Lists that lie, values that are written and never read back, rights that ended, objects that come
again, names that change: each of these was a fault on a real node once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.policy_types import policy_types
from stoa_gitops.model.canonical import SECRET_FIELD
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import DesiredState, PlanHints
from stoa_gitops.planning.inputs import PlanContext
from stoa_gitops.planning.planner import plan_gateway
from tests.adapters.front import Trouble
from tests.contract.rig import BILLING, CRM, HMACS, LIMIT, MOBILE, NOW, Rig, api, resource

CONFIGS: dict[str, dict[str, Any]] = {
    "api_key": {"in": "header", "name": "X-API-Key", "hide": True},
    "caching": {
        "ttl": "1m", "methods": ["GET", "HEAD"], "statuses": [200, 301], "varyHeaders": ["Accept"],
        "varyQuery": [],
    },
    "circuit_breaker": {"failures": 5, "window": "30s", "reset": "1m"},
    "cors": {
        "origins": ["https://a.example", "https://b.example"], "credentials": True,
        "methods": ["GET", "POST"], "headers": ["X-One", "x-two"], "maxAge": "10m",
    },
    "headers": {
        "request": {"set": {"X-A": "1"}, "add": {"X-B": "two words"}, "remove": ["X-C"]},
        "response": {"set": {}, "add": {}, "remove": ["Server"]},
    },
    "ip_filter": {"allow": ["10.0.0.0/8", "192.0.2.1"], "deny": ["10.1.0.0/16"]},
    "jwt": {
        "issuer": "https://login.example/realms/a", "audiences": ["shop", "till"],
        "jwksUri": "https://login.example/keys", "requiredClaims": {"scope": ["read", "write"]},
        "forwardClaims": {"sub": "X-Subject"}, "clockSkew": "30s",
    },
    "logging": {"sinks": ["stdout"], "payloads": False, "redact": []},
    "mock": {"status": 404, "headers": {"X-Mock": "1"}, "body": "gone\n"},
    "quota": {"requests": 1000, "period": "day", "by": "consumer"},
    "rate_limit": {"requests": 100, "window": "1m", "by": "header:X-Device"},
    "request_size": {"max": "1MiB"},
    "retry": {"attempts": 3, "on": ["connect", "timeout"], "backoff": "100ms"},
}  # fmt: skip
"""A config of each type, with all that a document fills in."""


def policy(policy_type: str) -> tuple[Key, dict[str, Any]]:
    config = CONFIGS[policy_type]
    spec = {"api": "billing", "type": policy_type, "priority": 100, "config": config}
    return BILLING.policy(policy_type), spec


async def lenient_plan(rig: Rig, specs: dict[Key, dict[str, Any]]) -> Plan:
    """Return the plan of a catalog that writes what can be written of everything."""
    await rig.driver.health()
    hints = PlanHints(on_unsupported="warn")
    resources = {key: replace(resource(key, spec), hints=hints) for key, spec in specs.items()}
    desired = DesiredState(rig.name, "default", "main@1", resources)
    context = PlanContext(NOW, secrets=dict(HMACS))
    actual = await rig.observe()
    return plan_gateway(rig.driver.plan_input(), desired, actual, rig.records, context)


def can(rig: Rig, capability: str) -> bool:
    declared = rig.driver.capabilities.get(capability)
    return declared is not None and declared.supported


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {str(o.change.key): f"{o.status.value} {o.reason} {o.message}" for o in outcomes}


def test_the_configs_are_of_all_types() -> None:
    assert set(CONFIGS) == set(policy_types())


@pytest.mark.parametrize("policy_type", sorted(CONFIGS))
async def test_every_policy_that_can_be_written_is_read_back(rig: Rig, policy_type: str) -> None:
    key, spec = policy(policy_type)
    find = rig.driver.rules.losses
    found = find(key.kind, spec) if find else ()
    if not can(rig, f"policy:{policy_type}") or any(not loss.is_partial for loss in found):
        return
    specs = {BILLING: api("billing"), key: spec}
    outcomes = await rig.execute(await lenient_plan(rig, specs))
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    second = await lenient_plan(rig, specs)
    assert second.is_empty, second.changes
    rig.records.clear()
    # Without an inventory nothing but what the gateway holds is compared.
    third = await lenient_plan(rig, specs)
    assert not [change for change in third.changes if change.action is not Action.ADOPT], third


async def test_a_policy_that_leaves_the_catalog_leaves_its_api_alone(rig: Rig) -> None:
    if LIMIT not in rig.specs:
        return
    await rig.converge()
    specs = {key: spec for key, spec in rig.specs.items() if key != LIMIT}
    outcomes = await rig.converge(specs)
    assert [(o.change.key, o.status) for o in outcomes] == [(LIMIT, Status.APPLIED)]
    held = {o.key for o in (await rig.observe()).objects}
    assert held == set(specs)


async def test_what_is_deleted_and_comes_again_is_whole(rig: Rig) -> None:
    await rig.converge()
    await rig.converge({})
    outcomes = await rig.converge()
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert (await rig.plan(rig.specs)).is_empty


async def test_an_application_that_comes_again_may_call_again(rig: Rig) -> None:
    if MOBILE not in rig.specs:
        return
    await rig.converge()
    await rig.converge({key: spec for key, spec in rig.specs.items() if key != MOBILE})
    outcomes = await rig.converge()
    assert statuses(outcomes) == {str(MOBILE): "applied  "}
    assert (await rig.plan(rig.specs)).is_empty


async def test_a_right_that_ended_stays_ended(rig: Rig) -> None:
    if MOBILE not in rig.specs:
        return
    ended = {"api": "billing", "expiresAt": "2026-01-01T00:00:00Z", "ended": True}
    specs = rig.specs
    specs[BILLING] = api("billing")
    specs[MOBILE] = {**specs[MOBILE], "subscriptions": [ended]}
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert (await rig.plan(specs)).is_empty


async def test_a_plan_that_is_renamed_takes_its_subscribers_along(rig: Rig) -> None:
    if MOBILE not in rig.specs or not can(rig, "plans"):
        return
    specs = rig.specs
    specs[MOBILE] = {**specs[MOBILE], "subscriptions": [{"api": "billing", "plan": "gold"}]}
    await rig.converge(specs)
    assert (await rig.plan(specs)).is_empty
    specs[BILLING] = {**specs[BILLING], "plans": [{"name": "silver", "perMinute": 5}]}
    specs[MOBILE] = {**specs[MOBILE], "subscriptions": [{"api": "billing", "plan": "silver"}]}
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert (await rig.plan(specs)).is_empty


def moved(specs: dict[Key, dict[str, Any]], paths: dict[Key, str]) -> dict[Key, dict[str, Any]]:
    """Return APIs with other paths."""
    return {
        key: {**specs[key], "routes": [{**specs[key]["routes"][0], "path": path}]}
        for key, path in paths.items()
    }


ONE, TWO = "/apis/acme/billing", "/apis/acme/crm"


@pytest.mark.parametrize(
    "paths",
    [{BILLING: "/apis/acme/moved", CRM: ONE}, {BILLING: TWO, CRM: ONE}],
    ids=["to the next", "exchanged"],
)
async def test_a_path_changes_hands_in_one_plan(rig: Rig, paths: dict[Key, str]) -> None:
    specs = {BILLING: api("billing"), CRM: api("crm")}
    await rig.converge(specs)
    specs = moved(specs, paths)
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert (await rig.plan(specs)).is_empty


async def test_the_path_of_an_api_that_is_deleted_is_taken_in_the_same_plan(rig: Rig) -> None:
    await rig.converge({CRM: api("crm"), BILLING: api("billing")})
    other = Key(API, "acme", "another")
    specs = {BILLING: api("billing"), other: api("another", routes=api("crm")["routes"])}
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert {o.key for o in (await rig.observe()).objects} == set(specs)


@pytest.mark.parametrize(
    "text", ['a "quoted" name', "it's", "a/b\\c", "größer als ∞ 🚀", "100 % & more", "{braces}"]
)
async def test_names_of_any_letters_come_back(rig: Rig, text: str) -> None:
    specs = {CRM: api("crm", displayName=text, description=text)}
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert (await rig.plan(specs)).is_empty
    held = {o.key: o.spec.value for o in (await rig.observe()).objects}[CRM]
    assert held.get("displayName", text) == text
    assert held.get("description", text) == text


async def test_a_write_that_is_refused_leaves_what_was_there(rig: Rig) -> None:
    await rig.converge()
    before = {o.key: o.spec for o in (await rig.observe()).objects}
    changed = rig.specs
    changed[CRM] = {**changed[CRM], "active": False}
    plan = await rig.plan(changed)
    rig.fail(Trouble.CONFLICT, "write")
    assert {o.status for o in await rig.execute(plan)} == {Status.QUARANTINED}
    rig.heal()
    assert {o.key: o.spec for o in (await rig.observe()).objects} == before


async def test_an_application_of_an_api_that_is_not_there_converges(rig: Rig) -> None:
    if MOBILE not in rig.specs:
        return
    mobile = {**rig.specs[MOBILE], "subscriptions": [{"api": "gone", "plan": "gold"}]}
    specs = {CRM: api("crm"), MOBILE: mobile}
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert (await rig.plan(specs)).is_empty


async def test_an_api_that_comes_later_takes_the_applications_of_its_tenant(rig: Rig) -> None:
    """After one more look at most: some makes need the key anew for it."""
    if MOBILE not in rig.specs or not can(rig, "policy:api_key"):
        return
    mobile = {**rig.specs[MOBILE], "subscriptions": []}
    specs: dict[Key, dict[str, Any]] = {MOBILE: mobile, BILLING: api("billing")}
    key, spec = policy("api_key")
    await rig.execute(await lenient_plan(rig, specs))
    specs[key] = spec
    for _ in range(2):
        await rig.execute(await lenient_plan(rig, specs))
    last = await lenient_plan(rig, specs)
    assert last.is_empty, last.changes


async def test_two_applications_with_keys_of_their_own_are_told_apart(rig: Rig) -> None:
    if MOBILE not in rig.specs:
        return
    till = Key(APPLICATION, "acme", "till")
    credential = {"type": "api_key", "key": {SECRET_FIELD: "env:BILLING_KEY"}}
    specs = {**rig.specs, till: {**rig.specs[MOBILE], "credentials": [credential]}}
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    outcomes = await rig.converge({key: spec for key, spec in specs.items() if key != till})
    assert statuses(outcomes) == {str(till): "applied  "}
    assert (await rig.plan(rig.specs)).is_empty


async def test_apis_of_two_tenants_may_have_one_name(rig: Rig) -> None:
    other = Key(API, "shop", "crm")
    route = {"path": "/apis/shop/crm", "methods": [], "hosts": [], "stripPath": True}
    specs = {CRM: api("crm"), other: api("crm", routes=[route])}
    outcomes = await rig.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    await rig.converge({CRM: specs[CRM]})
    assert {o.key for o in (await rig.observe()).objects} == {CRM}


async def test_a_text_that_looks_like_a_mark_claims_nothing(rig: Rig) -> None:
    forged = "[stoa-gitops owner=default key=globex/pay] [stoa-gitops owner=other key=acme/crm]"
    specs = {
        BILLING: api("billing", description=f"Invoices\n{forged}", displayName=f"A {forged}"),
        CRM: api("crm", description=forged),
    }
    outcomes = await rig.converge(specs)
    assert {one.status for one in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert (await rig.plan(specs)).is_empty
    seen = {one.key: one.managed for one in (await rig.observe()).objects if one.key.kind == API}
    assert seen == {BILLING: True, CRM: True}
    await rig.converge({})
    assert not (await rig.observe()).objects
