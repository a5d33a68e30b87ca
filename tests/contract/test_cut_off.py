"""Laws about what is written and never read back, and about plans that end in the middle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stoa_gitops.model.canonical import SECRET_FIELD, Spec
from stoa_gitops.model.changes import Action, Direction
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.outcomes import Status
from tests.contract import rig as contract
from tests.contract.rig import BILLING, CRM, LIMIT, MOBILE, Rig, api

LOOKS = 12
"""Cycles within which everything is seen: some makes read all of it each tenth time only."""

QUICK = (1, 3)
LAST = 23
HEAVY = tuple(number for number in range(LAST + 1) if number not in QUICK)


async def settled(rig: Rig, specs: Mapping[Key, Mapping[str, Any]]) -> None:
    """Converge until a plan is empty."""
    for _ in range(LOOKS):
        plan = await rig.plan(specs)
        if plan.is_empty:
            return
        await rig.execute(plan)
    plan = await rig.plan(specs)
    assert plan.is_empty, plan.changes


async def held(rig: Rig) -> dict[Key, Spec]:
    return {one.key: one.spec for one in (await rig.observe()).objects if one.managed}


def another(rig: Rig) -> dict[Key, dict[str, Any]]:
    """A catalog that changes, removes and adds something of each kind."""
    specs = rig.specs
    billing = {**specs[BILLING], "displayName": "Invoices"}
    if billing["plans"]:
        billing["plans"] = [{"name": "silver", "perMinute": 5}]
    found = {BILLING: billing, Key(API, "acme", "status"): api("status")}
    if LIMIT in specs:
        found[LIMIT] = {**specs[LIMIT], "config": {**specs[LIMIT]["config"], "requests": 7}}
    if MOBILE in specs:
        found[MOBILE] = {**specs[MOBILE], "displayName": "Phone"}
    return found


@pytest.mark.parametrize(
    "taken",
    [*QUICK, *(pytest.param(number, marks=pytest.mark.heavy) for number in HEAVY)],
)
async def test_a_plan_that_is_cut_off_leaves_nothing_behind_that_is_not_put_right(
    rig: Rig, taken: int
) -> None:
    if rig.cut_off is None:
        return
    await rig.add_foreign()
    foreign = await rig.foreign_bytes()
    await settled(rig, rig.specs)
    before = await held(rig)
    wanted = another(rig)
    plan = await rig.plan(wanted)
    is_cut = rig.cut_off(taken)
    outcomes = await rig.execute(plan)
    rig.heal()
    assert [one.change.key for one in outcomes] == [change.key for change in plan.changes]
    assert {one.status for one in outcomes} <= {Status.APPLIED, Status.FAILED, Status.BLOCKED}
    assert not is_cut() or any(one.status is not Status.APPLIED for one in outcomes)
    assert await rig.foreign_bytes() == foreign
    if not is_cut() and taken in range(4, LAST):
        return  # The plan had fewer writes, and what follows a whole one is tried with the last.
    # Whoever takes the commit back has what was there, and not half of something else.
    await settled(rig, rig.specs)
    assert await held(rig) == before
    await settled(rig, wanted)
    assert (await held(rig)).keys() == wanted.keys()
    assert await rig.foreign_bytes() == foreign


async def test_a_secret_that_changed_is_written_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gateway gives keys back, so that nothing but the record tells that it has the old one."""
    if MOBILE not in rig.specs:
        return
    await settled(rig, rig.specs)
    monkeypatch.setitem(contract.SECRETS, "env:MOBILE_KEY", "another-key-of-the-mobile-application")
    monkeypatch.setitem(contract.HMACS, "env:MOBILE_KEY", "hmac-of-another-key")
    plan = await rig.plan(rig.specs)
    assert [(change.key, change.action) for change in plan.changes] == [(MOBILE, Action.UPDATE)]
    assert plan.changes[0].direction is Direction.SECRET
    assert {one.status for one in await rig.execute(plan)} == {Status.APPLIED}
    assert (await rig.plan(rig.specs)).is_empty


async def test_a_credential_for_the_backend_that_changed_is_written_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if SECRET_FIELD not in str(rig.specs[BILLING]["backend"]):
        return
    await settled(rig, rig.specs)
    monkeypatch.setitem(contract.SECRETS, "env:BILLING_KEY", "another-credential")
    monkeypatch.setitem(contract.HMACS, "env:BILLING_KEY", "hmac-of-another-credential")
    plan = await rig.plan(rig.specs)
    assert [(change.key, change.action) for change in plan.changes] == [(BILLING, Action.UPDATE)]
    assert plan.changes[0].direction is Direction.SECRET
    assert {one.status for one in await rig.execute(plan)} == {Status.APPLIED}
    assert (await rig.plan(rig.specs)).is_empty


async def test_a_right_that_ends_between_two_cycles_is_taken_away_and_stays_away(rig: Rig) -> None:
    if MOBILE not in rig.specs:
        return
    right = {"api": "billing", "expiresAt": "2027-01-01T00:00:00Z"}
    specs = rig.specs
    specs[BILLING] = {**specs[BILLING], "plans": [], "access": "subscribed"}
    specs[MOBILE] = {**specs[MOBILE], "subscriptions": [right]}
    access = rig.driver.capabilities.get("access:subscribed")
    if access is None or not access.supported:
        del specs[BILLING]["access"]
    await settled(rig, specs)
    specs[MOBILE] = {**specs[MOBILE], "subscriptions": [{**right, "ended": True}]}
    plan = await rig.plan(specs)
    assert [change.key for change in plan.changes] == [MOBILE]
    assert {one.status for one in await rig.execute(plan)} == {Status.APPLIED}
    await settled(rig, specs)
    del specs[CRM]
    await settled(rig, specs)
