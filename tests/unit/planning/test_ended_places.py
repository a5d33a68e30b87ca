"""A consent that is taken back ends what it let in, in the places that are a tenant's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoa_gitops.model.changes import Action
from stoa_gitops.model.grants import UNKNOWN_GRANTS, Grants, TenantGrants
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import PlaceHint, Resource
from stoa_gitops.model.secret_rights import SecretRights
from stoa_gitops.planning import (
    BrokenScope,
    PlanContext,
    PlanInputs,
    has_ended_rights,
    plan_gateway,
    replan,
)
from tests.unit.planning.world import (
    NOW,
    TARGET,
    actions,
    actual,
    change_of,
    desired,
    observed,
    record,
    resource,
)

SHOP, EVIL = Key("api", "shop", "pay"), Key("api", "evil", "taker")
OTHER, LIMIT = Key("api", "evil", "other"), EVIL.policy("rate_limit")
CALLER = Key("application", "evil", "caller")
BROKEN = PlanContext(NOW, broken=BrokenScope(frozenset({"evil"})))
CONSENT = PlaceHint(delegates=("evil",))


def spec(*paths: str) -> dict[str, Any]:
    return {
        "routes": [{"path": path, "methods": [], "hosts": [], "stripPath": True} for path in paths]
    }


def shop(*hints: PlaceHint, path: str = "/apis/shop/pay") -> Resource:
    return resource(SHOP, spec(path), places=hints)


def state(wanted: list[Resource], taken: tuple[str, ...], **more: Any) -> PlanInputs:
    """Both are live, and a third API and a caller of evil's; its documents are broken by now."""
    specs: dict[Key, Any] = {
        SHOP: wanted[0].spec.value if wanted else spec("/apis/shop/pay"),
        EVIL: spec(*taken),
        OTHER: spec("/apis/evil/other"),
        LIMIT: {"api": "taker"},
        CALLER: {"credentials": [], "subscriptions": [{"api": "taker"}, {"api": "other"}]},
    }
    seen = actual(*(observed(key, value) for key, value in specs.items()))
    last = {key: record(key, value, **more) for key, value in specs.items()}
    return PlanInputs(TARGET, desired(*wanted), seen, last, BROKEN)


def plan(inputs: PlanInputs) -> Plan:
    return plan_gateway(inputs.gateway, inputs.desired, inputs.actual, inputs.last, inputs.context)


def test_a_route_in_the_place_of_a_tenant_that_consents_no_more_goes_with_its_policies() -> None:
    made = plan(state([shop()], ("/apis/shop/pay/x",)))
    assert actions(made) == {
        EVIL: Action.DELETE, LIMIT: Action.DELETE, CALLER: Action.UPDATE,
    }  # fmt: skip
    reason = change_of(made, EVIL).reason
    assert "/apis/shop/pay/x takes requests of shop/pay at a.yaml" in reason
    caller = change_of(made, CALLER).resource
    assert caller is not None
    assert caller.spec.value["subscriptions"] == [{"api": "other"}]
    assert has_ended_rights(made)
    assert not made.holds


def test_other_routes_of_the_api_stay() -> None:
    made = plan(state([shop()], ("/apis/evil/taker", "/apis/shop/pay/x")))
    assert actions(made) == {EVIL: Action.UPDATE}
    change = change_of(made, EVIL)
    assert change.resource is not None
    assert change.resource.spec.value == spec("/apis/evil/taker")
    assert "/apis/shop/pay/x takes requests of shop/pay" in change.reason


@pytest.mark.parametrize("allowed", ["evil", "evil/taker", "*"])
def test_consent_keeps_it(allowed: str) -> None:
    made = plan(state([shop(PlaceHint(delegates=(allowed,)))], ("/apis/shop/pay/x",)))
    assert not actions(made)


def test_neither_protection_nor_a_document_of_who_loses_it_keeps_it() -> None:
    taken = ("/apis/shop/pay/x",)
    assert actions(plan(state([shop()], taken, protected=True)))[EVIL] is Action.DELETE
    elsewhere = resource(EVIL, spec("/apis/evil/new"), ignore_fields=("routes",), protected=True)
    inputs = replace(state([shop(), elsewhere], taken), context=PlanContext(NOW))
    assert actions(plan(inputs))[EVIL] is Action.DELETE, "the next cycle creates it elsewhere"


def test_a_mistake_takes_no_consent_back() -> None:
    inputs = state([shop()], ("/apis/shop/pay/x",))
    both = PlanContext(NOW, broken=BrokenScope(frozenset({"evil", "shop"})))
    assert not actions(plan(replace(inputs, context=both)))
    everything = PlanContext(NOW, broken=BrokenScope(everything=True))
    assert not actions(plan(replace(inputs, context=everything)))
    unknown = replace(inputs.desired, rights=SecretRights(grants=UNKNOWN_GRANTS))
    assert not actions(plan(replace(inputs, desired=unknown)))
    # Who would consent is not there.
    assert EVIL not in actions(plan(state([], ("/apis/shop/pay/x",))))


def test_where_no_place_is_anybodys_own_who_is_there_stays() -> None:
    assert not actions(plan(state([shop(path="/search")], ("/search/x",))))


def test_what_the_operator_grants_later_is_the_tenants_own() -> None:
    granted = shop(PlaceHint(is_granted=True), path="/search")
    grants = Grants({"shop": TenantGrants(paths=("/search",))})
    inputs = state([granted], ("/search/x",))
    inputs = replace(inputs, desired=replace(inputs.desired, rights=SecretRights(grants=grants)))
    assert actions(plan(inputs))[EVIL] is Action.DELETE
    shared = Grants({**grants.tenants, "evil": TenantGrants(paths=("/search/x",))})
    inputs = replace(inputs, desired=replace(inputs.desired, rights=SecretRights(grants=shared)))
    assert not actions(plan(inputs)), "that is granted, too"


def test_all_that_a_tenant_has_goes_by_force_alone() -> None:
    specs = {SHOP: spec("/apis/shop/pay"), EVIL: spec("/apis/shop/pay/x")}
    seen = actual(*(observed(key, value) for key, value in specs.items()))
    last = {key: record(key, value) for key, value in specs.items()}
    made = plan_gateway(TARGET, desired(shop()), seen, last, BROKEN)
    assert EVIL in made.held_keys


def test_the_next_plan_sees_the_consent_go_and_come() -> None:
    others = [resource(Key("api", "shop", str(n)), spec(f"/apis/shop/o/{n}")) for n in range(30)]
    taker = resource(EVIL, spec("/apis/shop/pay/x"))
    inputs = state([shop(CONSENT), taker, *others], ("/apis/shop/pay/x",))
    inputs = replace(inputs, context=PlanContext(NOW))
    first = replan(None, inputs)
    assert EVIL not in actions(first.plan)
    # The taker's document is an error from then on.
    resources = {**inputs.desired.resources, SHOP: shop()}
    del resources[EVIL]
    edited = replace(inputs.desired, resources=resources)
    withdrawn = replace(inputs, desired=edited, context=BROKEN)
    second = replan(first, withdrawn)
    assert second.plan == replan(None, withdrawn).plan
    assert actions(second.plan)[EVIL] is Action.DELETE
    third = replan(second, inputs)
    assert third.plan == first.plan


def test_a_route_that_its_document_still_gets_stays() -> None:
    """Validation lets a document pass only where all others consent; a plan asks nobody again."""
    taker = resource(EVIL, spec("/apis/shop/pay/x"))
    inputs = replace(state([shop(), taker], ("/apis/shop/pay/x",)), context=PlanContext(NOW))
    assert EVIL not in actions(plan(inputs))
    drifted = observed(EVIL, spec("/apis/shop/pay/y"))
    seen = [one for one in inputs.actual.objects if one.key != EVIL]
    inputs = replace(inputs, actual=actual(*seen, drifted))
    assert actions(plan(inputs))[EVIL] is Action.DELETE


def test_the_most_exact_place_counts() -> None:
    """A grant of everything does not take the `/apis/<tenant>/` of others."""
    granted = shop(PlaceHint(is_granted=True), path="/")
    grants = Grants({"shop": TenantGrants(paths=("/",))})
    for taken, ends in (("/apis/evil/x", False), ("/x", True), ("/apis/nobody/x", True)):
        inputs = state([granted], (taken,))
        rights = SecretRights(grants=grants)
        inputs = replace(inputs, desired=replace(inputs.desired, rights=rights))
        resources = {**inputs.desired.resources, OTHER: resource(OTHER, spec("/apis/evil/other"))}
        inputs = replace(inputs, desired=replace(inputs.desired, resources=resources))
        assert (EVIL in actions(plan(inputs))) == ends, taken


def test_a_granted_host_is_its_tenants_own() -> None:
    def at_host(path: str) -> dict[str, Any]:
        one = {"path": path, "methods": [], "hosts": ["shop.example"], "stripPath": True}
        return {"routes": [one]}

    holder = resource(SHOP, at_host("/"), places=(PlaceHint(is_granted=True),))
    specs = {SHOP: at_host("/"), EVIL: at_host("/x"), OTHER: spec("/apis/evil/other")}
    seen = actual(*(observed(key, value) for key, value in specs.items()))
    last = {key: record(key, value) for key, value in specs.items()}
    rights = SecretRights(grants=Grants({"shop": TenantGrants(hosts=("shop.example",))}))
    state_now = replace(desired(holder), rights=rights)
    assert actions(plan_gateway(TARGET, state_now, seen, last, BROKEN)) == {EVIL: Action.DELETE}
