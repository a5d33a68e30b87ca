"""APIs that people made, taken over: by their ids, under their names, served all the time."""

from __future__ import annotations

from typing import Any

from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import DesiredState
from stoa_gitops.planning.adoption import plan_adoption
from stoa_gitops.planning.inputs import PlanContext
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.testbed import LOG
from tests.contract.rig import BILLING, HMACS, NOW, api, resource

PETS = Key(API, "default", "pets")
JWT = {
    "issuer": "https://id.example", "jwksUri": "https://id.example/keys", "clockSkew": "30s",
    "audiences": [], "requiredClaims": {}, "forwardClaims": {},
}  # fmt: skip
KEY = {"in": "header", "name": "x-Gateway-APIKey", "hide": True}


async def adopt(bed: Bed, spec: dict[str, Any]) -> list[Any]:
    desired = DesiredState(bed.rig.name, "default", "main@1", {PETS: resource(PETS, spec)})
    context = PlanContext(NOW, secrets=dict(HMACS))
    seen = await bed.rig.observe()
    plan = plan_adoption(bed.rig.driver.plan_input(), desired, seen, {}, context, [PETS])
    assert [change.action for change in plan.changes] == [Action.ADOPT]
    return await bed.rig.execute(plan)


async def test_an_adopted_api_keeps_its_id_its_name_and_its_path(old: Bed) -> None:
    made = await old.person.add_api("pets", is_active=True)
    log = await old.person.add_action("logInvocation", LOG)
    await old.person.place(made["policies"][0], "LMT", log["id"])
    seen = {one.key: one for one in (await old.rig.observe()).objects}
    value: dict[str, Any] = {**seen[PETS].spec.value}
    value.pop("webmethods")
    value["backend"] = {**value["backend"], "retries": 0}
    outcomes = await adopt(old, value)
    assert [one.status for one in outcomes] == [Status.APPLIED], outcomes
    held = old.api("pets")
    assert (held["id"], held["isActive"]) == (made["id"], True)
    # It has the path that the gateway gives it, and needs no URL alias for that.
    assert list(old.double.store.url_aliases) == []
    assert (await old.rig.plan({PETS: value})).is_empty
    # What no document says is gone, and its actions with it.
    assert log["id"] not in old.double.store.actions
    assert old.strays() == []


async def test_a_token_or_a_key_lets_in_and_the_issuer_goes_with_its_policy(old: Bed) -> None:
    specs: dict[Key, dict[str, Any]] = {BILLING: api("billing")}
    for name, config in (("jwt", JWT), ("api_key", KEY)):
        spec = {"api": "billing", "type": name, "priority": 100, "config": config}
        specs[BILLING.policy(name)] = spec
    outcomes = await old.rig.converge(specs)
    assert {one.status for one in outcomes} == {Status.APPLIED}, outcomes
    (evaluate,) = old.actions("acme-billing", "evaluatePolicy")
    text = str(evaluate["parameters"])
    assert "apiKey" in text
    assert "jwtClaims" in text
    assert "'OR'" in text
    names = {alias["name"] for alias in old.double.store.aliases}
    assert "acme-billing-issuer" in names
    assert (await old.rig.plan(specs)).is_empty
    del specs[BILLING.policy("jwt")]
    await old.rig.converge(specs)
    names = {alias["name"] for alias in old.double.store.aliases}
    assert "acme-billing-issuer" not in names
    (evaluate,) = old.actions("acme-billing", "evaluatePolicy")
    assert "jwtClaims" not in str(evaluate["parameters"])
    assert (await old.rig.plan(specs)).is_empty
