"""Deletions of everything that a tenant or a gateway has wait for a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from stoa_gitops.model.instances import PruneBudget
from stoa_gitops.model.keys import Key
from stoa_gitops.planning import GatewayPlanInput, PlanContext
from tests.unit.planning.world import (
    NOW,
    TARGET,
    Gateway,
    desired,
    observed,
    plan,
    record,
    resource,
)


def keys(tenant: str, *names: str) -> list[Key]:
    return [
        Key.parse(f"{kind}/{tenant}/{name}") for kind, _, name in (n.partition(":") for n in names)
    ]


ACME = keys("acme", "api:a", "policy:a.cors", "application:x")
BETA = keys("beta", "api:b")


def held(wanted: Iterable[Key], there: Iterable[Key], **more: object) -> frozenset[Key]:
    objects = [observed(k) for k in there]
    made = plan([resource(k) for k in wanted], objects, [record(k) for k in there], **more)  # type: ignore[arg-type]
    return made.held_keys


def test_all_objects_of_a_tenant_are_not_deleted_from_one_object_on() -> None:
    assert held(BETA, [*ACME, *BETA]) == set(ACME)
    assert held(ACME, [*ACME, *BETA]) == set(BETA)
    assert held([*BETA, ACME[2]], [*ACME, *BETA]) == frozenset()


def test_all_objects_of_a_gateway_are_not_deleted_and_one_hold_says_so() -> None:
    both = (*ACME, *BETA)
    made = plan([], [observed(key) for key in both], [record(key) for key in both])
    (hold,) = made.holds
    assert hold.reason == "PruneAll"
    assert set(hold.keys) == {*ACME, *BETA}
    assert "everything that the catalog has there (4 objects)" in hold.message
    assert "stoa-gitops apply --gateway kong-prod --force" in hold.message


def test_the_hold_of_a_tenant_says_how_to_go_on() -> None:
    both = (*ACME, *BETA)
    made = plan([resource(BETA[0])], [observed(key) for key in both], [record(key) for key in both])
    (hold,) = made.holds
    assert "everything of the tenant acme (3 objects)" in hold.message
    assert "--gateway kong-prod --tenant acme --force" in hold.message
    assert 'gostoa.dev/allow-empty: "true"' in hold.message


def test_the_plan_of_a_registered_gateway_is_forced_whole() -> None:
    both, gateway = (*ACME, *BETA), GatewayPlanInput("edge/pod-1", "stoa")
    there = [observed(key) for key in both]
    made = plan([resource(BETA[0])], there, [record(key) for key in both], gateway=gateway)
    (hold,) = made.holds
    assert "everything of the tenant acme" in hold.message
    assert "`stoa-gitops apply --gateway edge/pod-1 --force`" in hold.message


def test_what_is_renamed_is_not_taken_for_gone() -> None:
    new = keys("beta", "api:c")
    assert held(new, BETA) == frozenset()
    assert held([*new, *ACME], [*ACME, *BETA]) == frozenset()
    assert held(keys("acme", "api:c"), [*ACME, *BETA]) == {*ACME, *BETA}
    made = plan([resource(new[0], moved_from=BETA[0])], [observed(BETA[0])])
    assert not made.holds


def test_a_tenant_that_may_be_empty_loses_everything() -> None:
    gateway = Gateway()
    gateway.cycle(desired(*(resource(key) for key in (*ACME, *BETA))))
    wanted = replace(desired(resource(BETA[0])), may_be_empty=frozenset({"acme"}))
    gateway.cycle(wanted)
    assert set(gateway.objects) == set(BETA)
    gateway.cycle(replace(desired(), may_be_empty=frozenset({"acme"})))
    assert set(gateway.objects) == set(BETA)
    gateway.cycle(replace(desired(), may_be_empty=frozenset({"beta"})))
    assert not gateway.objects


def test_a_plan_for_one_tenant_holds_what_it_would_empty() -> None:
    context = PlanContext(NOW, tenant="acme")
    assert held([], [*ACME, *BETA], context=context) == set(ACME)


@pytest.mark.parametrize("percent", [30, 100])
def test_no_percentage_permits_it(percent: int) -> None:
    target = replace(TARGET, prune=PruneBudget(None, percent))
    assert held([], BETA, gateway=target) == set(BETA)


def test_a_catalog_without_a_name_does_not_delete_what_it_did_not_apply() -> None:
    """Two of them on one gateway deleted each other's objects in turn."""
    gateway = Gateway()
    first, second = (desired(resource(key)) for key in (ACME[0], BETA[0]))
    gateway.cycle(first)
    records, gateway.records = gateway.records, {}
    made = gateway.cycle(second)
    assert [hold.reason for hold in made.holds][-1] == "PruneUnknown"
    assert "catalog.yaml" in made.holds[-1].message
    gateway.records = records
    gateway.cycle(first)
    assert set(gateway.objects) == {ACME[0], BETA[0]}


def test_a_catalog_with_a_name_knows_its_objects_by_their_marks() -> None:
    gateway = Gateway()
    gateway.cycle(desired(resource(ACME[0]), resource(BETA[0])))
    gateway.records.clear()
    named = replace(desired(resource(BETA[0])), owner="shop", may_be_empty=frozenset({"acme"}))
    gateway.cycle(named)
    assert set(gateway.objects) == {BETA[0]}


def test_a_catalog_without_a_name_deletes_what_it_applied() -> None:
    gateway = Gateway()
    gateway.cycle(desired(resource(ACME[0]), resource(ACME[2])))
    gateway.cycle(desired(resource(ACME[0])))
    assert set(gateway.objects) == {ACME[0]}


def test_one_tenant_does_not_hold_up_the_deletions_of_others() -> None:
    evil = keys("evil", *(f"api:{n}" for n in range(40)))
    acme = keys("acme", *(f"api:{n}" for n in range(40)))
    made = held([*evil[30:], *acme[1:]], [*evil, *acme])
    assert made == set(evil[:30])
    few = replace(TARGET, prune=PruneBudget(max_count=5))
    assert held([*evil[5:], *acme[3:]], [*evil, *acme], gateway=few) == set(evil[:5])


def test_what_many_tenants_lose_at_once_waits_as_a_whole() -> None:
    tenants = [keys(f"t{t}", *(f"api:{n}" for n in range(4))) for t in range(5)]
    there = [key for found in tenants for key in found]
    wanted = [key for found in tenants for key in found[2:]]
    assert held(wanted, there) == set(there) - set(wanted)
