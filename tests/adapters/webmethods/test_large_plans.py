"""A plan of many parts: what each writes is known to the next one without reading everything."""

from __future__ import annotations

from typing import Any

from stoa_gitops.adapter_sdk.units import MAX_CALL
from stoa_gitops.model.canonical import SECRET_FIELD
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.webmethods.beds import Bed
from tests.contract.rig import api

APPLIED = {Status.APPLIED}
GOLD = [{"name": "gold", "perMinute": 100}]


def many(count: int, **changes: Any) -> dict[Key, dict[str, Any]]:
    names = [f"api-{number:03}" for number in range(count)]
    return {Key(API, "acme", name): api(name, **changes) for name in names}


def searches(bed: Bed) -> int:
    """How often everything was read since the last call."""
    found = sum("/search" in line for line in bed.double.requests)
    bed.double.requests.clear()
    return found


async def test_a_plan_of_many_parts_is_read_back_once(old: Bed) -> None:
    specs = many(MAX_CALL + 5)
    plan = await old.rig.plan(specs)
    searches(old)
    outcomes = await old.rig.execute(plan)
    assert {one.status for one in outcomes} == APPLIED, outcomes
    # All of them, and a page of definitions at most.
    assert searches(old) <= 2
    assert (await old.rig.plan(specs)).is_empty
    plan = await old.rig.plan({})
    searches(old)
    outcomes = await old.rig.execute(plan)
    assert {one.status for one in outcomes} == APPLIED, outcomes
    assert searches(old) == 1
    assert old.names() == []


async def test_applications_come_to_what_an_earlier_part_wrote(old: Bed) -> None:
    specs = many(MAX_CALL + 5, plans=GOLD)
    named = [{"api": key.name, "plan": "gold"} for key in specs]
    for name, secret in (("mobile", "env:MOBILE_KEY"), ("till", "env:BILLING_KEY")):
        specs[Key(APPLICATION, "acme", name)] = {
            "displayName": name,
            "credentials": [{"type": "api_key", "key": {SECRET_FIELD: secret}}],
            "subscriptions": named,
            "identifiers": {},
        }
    plan = await old.rig.plan(specs)
    searches(old)
    outcomes = await old.rig.execute(plan)
    assert {one.status for one in outcomes} == APPLIED, outcomes
    assert searches(old) <= 2
    for key in specs:
        if key.kind == API:
            assert old.keys(f"acme-{key.name}") == {"mobile-key-1", "billing-key-1"}
            (limit,) = old.actions(f"acme-{key.name}", "throttle")
            assert len(next(p["values"] for p in limit["parameters"]
                            if p["templateKey"] == "consumerIds")) == 2  # fmt: skip
    assert old.strays() == []
    assert (await old.rig.plan(specs)).is_empty


async def test_what_ended_unclear_is_read_before_the_next_part_is_written(old: Bed) -> None:
    specs = many(MAX_CALL + 5)
    plan = await old.rig.plan(specs)
    searches(old)
    old.double.revoke_after(20)
    outcomes = await old.rig.execute(plan)
    assert Status.APPLIED not in {one.status for one in outcomes[MAX_CALL:]}
    old.double.tokens["admin-token-for-the-tests"] = "Administrator"
    old.double.revoke_after(1 << 30)
    outcomes = await old.rig.converge(specs)
    assert {one.status for one in outcomes} == APPLIED, outcomes
    assert (await old.rig.plan(specs)).is_empty


async def test_a_refused_api_lets_the_parts_after_it_through(old: Bed) -> None:
    specs = many(MAX_CALL + 5)
    first = min(specs)
    await old.person.add_api(f"acme-{first.name}")
    plan = await old.rig.plan(specs)
    outcomes = await old.rig.execute(plan)
    failed = [one.change.key for one in outcomes if one.status is not Status.APPLIED]
    assert failed == [first]
