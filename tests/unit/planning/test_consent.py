"""A consent that is taken back ends the right, whatever the other tenant's document says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoa_gitops.model.changes import Action
from stoa_gitops.model.instances import PruneBudget
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import DesiredState, Resource
from stoa_gitops.planning import BrokenScope, PlanContext, PlanInputs, has_ended_rights, replan
from tests.unit.planning.world import NOW, TARGET, Gateway, desired, resource

ORDERS = Key("api", "shop", "orders")
OWN = Key("api", "evil", "own")
SPY = Key("application", "evil", "spy")
BROKEN = PlanContext(NOW, broken=BrokenScope(frozenset({"evil"})))
REFUSED = PlanContext(NOW, quarantined={SPY: "no"})
TAKEN = PlanContext(NOW, shared={SPY: "its key is not available here"})
QUIET = PlanContext(NOW)


def api(*takers: tuple[str, str]) -> Resource:
    return resource(ORDERS, {"plans": [{"name": "gold"}]}, subscribers=takers)


def spy(*apis: str, **hints: Any) -> Resource:
    subscriptions = [{"api": name, "plan": "gold"} for name in apis]
    key = {"type": "api_key", "key": {"$secret": "env:EVIL_KEY"}}
    return resource(SPY, {"credentials": [key], "subscriptions": subscriptions}, **hints)


CONSENT = api(("gold", "evil"))
OPEN = api(("gold", "*"))
BOTH = ("own", "shop/orders")


def before(application: Resource, consent: Resource = CONSENT) -> Gateway:
    gateway = Gateway()
    gateway.cycle(desired(consent, resource(OWN), application))
    assert "shop/orders" in rights(gateway)
    return gateway


def rights(gateway: Gateway) -> set[str]:
    listed: Any = gateway.objects[SPY].value["subscriptions"] if SPY in gateway.objects else []
    return {item["api"] for item in listed}


PROTECTED = {"protected": True}


@pytest.mark.parametrize(
    ("was", "now", "context", "left"),
    [
        pytest.param(spy(*BOTH), spy("own"), QUIET, {"own"}, id="left out of a sound document"),
        pytest.param(spy("shop/orders"), None, BROKEN, set(), id="the only one of a document"),
        pytest.param(spy(*BOTH), None, BROKEN, {"own"}, id="the document is broken"),
        pytest.param(
            spy(*BOTH, ignore_fields=("subscriptions",)),
            spy("own", ignore_fields=("subscriptions",)),
            QUIET,
            {"own"},
            id="the field is left to the gateway",
        ),
        pytest.param(spy(*BOTH, **PROTECTED), None, QUIET, {"own"}, id="removed but protected"),
        pytest.param(spy(*BOTH), spy("own", requires=("x",)), QUIET, {"own"}, id="unsupported"),
        pytest.param(spy(*BOTH), spy("own"), REFUSED, {"own"}, id="refused by the gateway"),
        pytest.param(spy(*BOTH), spy("own"), TAKEN, {"own"}, id="its key is another one's"),
    ],
)
@pytest.mark.parametrize("consent", [CONSENT, OPEN], ids=["by name", "to all"])
def test_a_right_ends_with_its_consent(
    was: Resource, now: Resource | None, context: PlanContext, left: set[str], consent: Resource
) -> None:
    gateway = before(was, consent)
    target = replace(TARGET, capabilities={}, prune=PruneBudget(max_count=0))
    rest = [resource(OWN), *([now] if now else [])]
    made = gateway.cycle(desired(api(), *rest), context, gateway=target)
    assert rights(gateway) == left
    assert has_ended_rights(made)
    assert not has_ended_rights(gateway.cycle(desired(api(), *rest), context, gateway=target))


def test_the_right_ends_first_and_the_object_goes_after_that() -> None:
    gateway = before(spy("shop/orders"))
    gone = desired(api(), resource(OWN))
    (change,) = gateway.cycle(gone).changes
    assert (change.action, rights(gateway)) == (Action.UPDATE, set())
    # Everything of the tenant but its API: nothing that a guard would hold.
    (change,) = gateway.cycle(gone).changes
    assert change.action is Action.DELETE


@pytest.mark.parametrize(
    "now",
    [
        pytest.param([], id="the API is gone"),
        pytest.param([CONSENT], id="the consent stays"),
        pytest.param([api(("silver", "evil"), ("gold", "*"))], id="another consent"),
    ],
)
def test_a_right_stays_where_nobody_took_it_back(now: list[Resource]) -> None:
    gateway = before(spy(*BOTH))
    context = PlanContext(NOW, broken=BrokenScope(frozenset({"evil", "shop"})))
    gateway.cycle(desired(*now), context)
    assert rights(gateway) == {"own", "shop/orders"}


def test_without_a_record_the_document_is_written_and_without_both_no_credential_is() -> None:
    for now in (spy("own", ignore_fields=("subscriptions",)), None):
        gateway = before(spy(*BOTH))
        gateway.records.clear()
        gateway.cycle(desired(api(), resource(OWN), *([now] if now else [])), BROKEN)
        assert rights(gateway) == {"own"}
        assert bool(gateway.objects[SPY].value["credentials"]) is (now is not None)


def test_a_plan_made_from_the_one_before_ends_the_same_rights() -> None:
    gateway = before(spy(*BOTH, ignore_fields=("subscriptions",)))
    others = [resource(Key("api", "shop", f"other{n}")) for n in range(20)]

    def inputs(wanted: DesiredState) -> PlanInputs:
        return PlanInputs(TARGET, wanted, gateway.observe(), gateway.records, QUIET)

    first = desired(CONSENT, resource(OWN), *others, spy(*BOTH, ignore_fields=("subscriptions",)))
    state = replan(None, inputs(first))
    kept: dict[Key, Resource] = dict(first.resources)
    kept[ORDERS] = api()
    second = replace(first, resources=kept)
    made = replan(state, replace(state.inputs, desired=second))
    assert made.recomputed < len(kept)
    assert [c.key for c in made.plan.changes if c.key == SPY] == [SPY]
    assert made.plan == replan(None, made.inputs).plan
