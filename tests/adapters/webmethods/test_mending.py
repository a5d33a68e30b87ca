"""What people or faults took away on the gateway: each message says what puts it right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoa_gitops.adapters.webmethods.adapter import WebMethodsAdapter
from stoa_gitops.model.keys import API, APPLICATION
from stoa_gitops.model.outcomes import Status
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.double.runtime import target
from tests.contract.rig import MOBILE


def adapter_of(bed: Bed) -> WebMethodsAdapter:
    assert isinstance(bed.rig.adapter, WebMethodsAdapter)
    return bed.rig.adapter


async def test_a_policy_that_is_gone_from_the_store_comes_back_by_an_archive(old: Bed) -> None:
    await old.rig.converge(old.specs)
    held = old.api("acme-billing")
    (policy,) = held["policies"]
    old.double.store.policies.drop(policy)
    for _ in range(2):
        outcomes = await old.rig.converge(old.specs)
        assert {one.reason for one in outcomes if one.status is not Status.APPLIED} == {
            "HalfWritten"
        }
        assert all("--via archive" in one.message for one in outcomes if one.message)
    outcomes = await old.rig.execute(await old.rig.plan(old.specs), as_archive=True)
    assert {one.status for one in outcomes} == {Status.APPLIED}, outcomes
    again = old.api("acme-billing")
    assert (again["id"], again["policies"]) == (held["id"], [policy])
    assert target(old.double.store, again) is not None
    assert old.keys("acme-billing") == {"mobile-key-1"}
    assert old.strays() == []
    assert (await old.rig.plan(old.specs)).is_empty


@pytest.mark.parametrize(
    ("tenant", "fix"),
    [
        ("acme", "adopt it"),
        ("default", "set the option `adoptTenant` to acme and adopt application/acme/mobile"),
    ],
)
async def test_an_application_without_its_mark_is_adopted_where_its_name_says_which_it_is(
    old: Bed, tenant: str, fix: str
) -> None:
    await old.rig.converge(old.specs)
    (held,) = old.double.store.applications
    await old.person.call("PUT", f"/applications/{held['id']}", {**held, "description": "mine"})
    session = adapter_of(old).session
    session._options, session.info = replace(session._options, tenant=tenant), None
    outcomes = await old.rig.converge(old.specs)
    failed = [one for one in outcomes if one.status is not Status.APPLIED]
    assert {one.change.key.kind for one in failed} <= {APPLICATION, API}
    (message,) = [one.message for one in failed if one.change.key == MOBILE]
    assert fix in message
    assert "mobile-key-1" not in message
    assert len(list(old.double.store.applications)) == 1
