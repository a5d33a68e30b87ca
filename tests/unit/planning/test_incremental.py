"""A plan out of the one before it equals the plan from scratch, and decides few keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action
from stoa_gitops.model.instances import PruneBudget
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.model.resources import Observed, PlanHints, Resource, SourceRef
from stoa_gitops.planning import GatewayPlanInput, PlanContext, PlanInputs, next_expiry
from stoa_gitops.planning.changed_keys import changed_keys
from stoa_gitops.planning.incremental import PlanState, plan_fully, replan
from stoa_gitops.planning.inputs import SpecMemo
from tests.unit.planning.test_laws import (
    _api_of,
    apis,
    catalogs,
    gateways,
    keys,
    plan_hints,
    situations,
    targets,
    values,
)
from tests.unit.planning.world import (
    BILLING,
    LIMIT,
    MOBILE,
    NOW,
    TARGET,
    Gateway,
    actual,
    desired,
    observed,
    record,
    resource,
)

ALWAYS = 1000.0


def lossy(kind: str, spec: Any) -> tuple[Loss, ...]:
    if spec.get("description") == "q":
        return (Loss("has no descriptions", is_partial=kind != "api"),)
    return (Loss("counts from one", is_partial=True),) if spec.get("routes") else ()


LOSSY = SpecMemo(lossy)


def with_end(inputs: PlanInputs) -> PlanInputs:
    return replace(inputs, expires_at=next_expiry(inputs.desired, inputs.context.now))


# -- edit scripts ------------------------------------------------------------------------------


@st.composite
def resources(draw: st.DrawFn) -> Resource:
    key = draw(keys)
    how = replace(draw(plan_hints), guarded_api=_api_of(key))
    tree: Any = draw(values)
    return Resource(key, Spec.of(tree), SourceRef(draw(st.sampled_from(("a.yaml", "b.yaml")))), how)


def edit_resource(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    one = draw(resources())
    found = {**inputs.desired.resources, one.key: one}
    return replace(inputs, desired=replace(inputs.desired, resources=found))


def drop_resource(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    found = dict(inputs.desired.resources)
    if found:
        del found[draw(st.sampled_from(sorted(found)))]
    return replace(inputs, desired=replace(inputs.desired, resources=found))


def rename(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    found = dict(inputs.desired.resources)
    if found:
        old = found.pop(draw(st.sampled_from(sorted(found))))
        new = draw(apis) if old.key.kind == "api" else old.key._replace(name="moved")
        found[new] = replace(old, key=new, hints=replace(old.hints, moved_from=old.key))
    return replace(inputs, desired=replace(inputs.desired, resources=found))


def touch_gateway(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    key, objects = draw(keys), list(inputs.actual.objects)
    if draw(st.booleans()):
        objects = [one for one in objects if one.key != key]
    if draw(st.booleans()):
        tree: Any = draw(values)
        gateway_id, managed = draw(st.sampled_from("12")), draw(st.booleans())
        objects.append(Observed(key, Spec.of(tree), gateway_id, managed))
    return replace(inputs, actual=replace(inputs.actual, objects=tuple(objects)))


def lose_record(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    last = dict(inputs.last)
    if last:
        del last[draw(st.sampled_from(sorted(last)))]
    return replace(inputs, last=last)


def apply_plan(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    """Apply a plan of the gateway and observe again: equal objects stay the same objects."""
    gateway.cycle(inputs.desired, inputs.context, gateway=inputs.gateway, force=True)
    known = {(one.key, one.gateway_id, one.spec, one.managed): one for one in inputs.actual.objects}
    seen = gateway.observe()
    objects = tuple(
        known.get((one.key, one.gateway_id, one.spec, one.managed), one) for one in seen.objects
    )
    return replace(inputs, actual=replace(seen, objects=objects), last=dict(gateway.records))


def commit(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    revision = draw(st.sampled_from(("main@2", "main@3")))
    return replace(inputs, desired=replace(inputs.desired, revision=revision))


def other_context(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    """Rotate secrets, refuse objects, turn the clock; now and then change all of them."""
    new = draw(situations)
    if draw(st.booleans()):
        new = replace(new, broken=inputs.context.broken, tenant=inputs.context.tenant)
    later = inputs.context.now + timedelta(days=draw(st.integers(-1, 30)))
    return replace(inputs, context=replace(new, now=later))


def other_target(draw: st.DrawFn, inputs: PlanInputs, gateway: Gateway) -> PlanInputs:
    return replace(inputs, gateway=draw(targets))


STEPS: tuple[Callable[[st.DrawFn, PlanInputs, Gateway], PlanInputs], ...] = (
    edit_resource, edit_resource, drop_resource, rename, touch_gateway, touch_gateway, lose_record,
    apply_plan, commit, other_context, other_target,
)  # fmt: skip


@st.composite
def scripts(draw: st.DrawFn) -> list[PlanInputs]:
    gateway, wanted = draw(gateways()), draw(catalogs())
    target = replace(draw(targets), losses=draw(st.sampled_from((None, LOSSY))))
    plain = replace(draw(situations), tenant=None)
    if draw(st.booleans()):
        plain = PlanContext(NOW, plain.secrets, quarantined=plain.quarantined)
    inputs = [PlanInputs(target, wanted, gateway.observe(), dict(gateway.records), plain)]
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6)):
        inputs.append(step(draw, inputs[-1], gateway))
    return [with_end(one) for one in inputs]


def as_told(state: PlanState) -> Any:
    return state.plan, state.inventory_updates, PlanSet("r", (state.plan,)).digest


def _as_sets(dependents: Mapping[Key, Iterable[Key]]) -> dict[Key, set[Key]]:
    return {key: set(found) for key, found in dependents.items()}


@given(scripts())
def test_after_every_edit_the_plan_and_its_updates_are_those_from_scratch(
    script: list[PlanInputs],
) -> None:
    kept: PlanState | None = None
    for inputs in script:
        kept = replan(kept, inputs, ALWAYS)
        fresh = plan_fully(inputs)
        assert as_told(kept) == as_told(fresh)
        # What is kept for the next step must be right as well.
        assert kept.decisions == fresh.decisions
        assert kept.graph.coupled == fresh.graph.coupled
        assert kept.graph.needs == fresh.graph.needs
        assert _as_sets(kept.graph.dependents) == _as_sets(fresh.graph.dependents)
        for name in (
            "wanted",
            "managed",
            "foreign",
            "renames",
            "duplicates",
            "managed_total",
            "revision",
        ):
            assert getattr(kept.view, name) == getattr(fresh.view, name), name


# -- how far a change reaches ------------------------------------------------------------------

OTHERS = tuple(Key("api", "acme", f"api-{number}") for number in range(40))


def quiet(target: GatewayPlanInput = TARGET) -> PlanInputs:
    """Many APIs and an API with a policy and a subscriber, all as the gateway has them."""
    wanted = [resource(key) for key in OTHERS]
    wanted += [
        resource(BILLING, depends_on=(LIMIT,)),
        resource(LIMIT, guarded_api=BILLING),
        resource(MOBILE, {"subscriptions": [{"api": "billing"}]}),
    ]
    there = [observed(one.key, one.spec.value) for one in wanted]
    last = {one.key: record(one.key, one.spec.value) for one in wanted}
    return PlanInputs(target, desired(*wanted), actual(*there), last, PlanContext(NOW))


def edited(inputs: PlanInputs, *others: Resource) -> PlanInputs:
    found = {**inputs.desired.resources, **{one.key: one for one in others}}
    return replace(inputs, desired=replace(inputs.desired, resources=found))


def test_one_changed_api_of_many_is_decided_alone() -> None:
    before = plan_fully(quiet())
    made = replan(before, edited(before.inputs, resource(OTHERS[3], {"name": "new"})))
    assert made.recomputed == 1
    assert [change.key for change in made.plan.changes] == [OTHERS[3]]
    assert made.plan.unchanged == before.plan.unchanged - 1


def test_an_api_is_decided_with_its_policies_and_subscribers() -> None:
    before = plan_fully(quiet())
    after = edited(before.inputs, resource(BILLING, {"name": "new"}, depends_on=(LIMIT,)))
    assert replan(before, after).recomputed == 3


def test_nothing_is_decided_where_only_the_commit_is_another_one() -> None:
    before = plan_fully(quiet())
    other = replace(before.inputs.desired, revision="main@other")
    made = replan(before, replace(before.inputs, desired=other))
    assert made.recomputed == 0
    assert made.plan == replace(before.plan, revision="main@other")


def test_a_subscriber_of_an_api_that_is_refused_loses_that_subscription() -> None:
    inputs = quiet()
    there = tuple(one for one in inputs.actual.objects if one.key not in (BILLING, LIMIT))
    before = plan_fully(replace(inputs, actual=replace(inputs.actual, objects=there)))
    assert MOBILE not in {change.key for change in before.plan.changes}
    refused = replace(before.inputs.context, quarantined={BILLING: "no"})
    made = replan(before, replace(before.inputs, context=refused))
    assert made.recomputed == 3
    assert MOBILE in {change.key for change in made.plan.changes}


def test_what_needs_a_skipped_object_stays_skipped_when_it_alone_changes() -> None:
    alias = Key("alias", "", "entry")
    inputs = edited(quiet(), resource(alias, depends_on=(OTHERS[0],)))
    there = tuple(one for one in inputs.actual.objects if one.key != OTHERS[0])
    refused = replace(inputs.context, quarantined={OTHERS[0]: "no"})
    before = plan_fully(
        replace(inputs, actual=replace(inputs.actual, objects=there), context=refused)
    )
    assert {skip.key for skip in before.plan.skipped} == {OTHERS[0], alias}
    after = edited(before.inputs, resource(alias, {"name": "new"}, depends_on=(OTHERS[0],)))
    made = replan(before, after)
    assert made.recomputed == 2
    assert made.plan == plan_fully(after).plan
    assert not made.plan.changes


def test_a_tie_of_another_sort_to_the_same_key_counts_from_then_on() -> None:
    alias = Key("alias", "", "entry")
    before = plan_fully(edited(quiet(), resource(alias, depends_on=(OTHERS[0],))))
    kept = replan(before, edited(before.inputs, resource(alias, moved_from=OTHERS[0])))
    assert alias in kept.graph.coupled
    assert replan(kept, edited(kept.inputs, resource(alias, {"name": "new"}))).recomputed == 2


def test_the_budget_counts_deletions_that_were_found_one_by_one() -> None:
    target = replace(TARGET, prune=PruneBudget(max_count=1))
    kept = plan_fully(quiet(target))
    for key in OTHERS[:2]:
        left = {k: one for k, one in kept.inputs.desired.resources.items() if k != key}
        kept = replan(
            kept, replace(kept.inputs, desired=replace(kept.inputs.desired, resources=left))
        )
        assert kept.recomputed == 1
    assert kept.plan.count(Action.DELETE) == 2
    assert kept.plan.held_keys == set(OTHERS[:2])


@pytest.mark.parametrize("days", [-1, 3])
def test_a_clock_behind_or_past_the_next_end_has_everything_decided(days: int) -> None:
    ends = {"subscriptions": [{"api": "billing", "expiresAt": str(NOW + timedelta(days=2))}]}
    before = plan_fully(with_end(edited(quiet(), resource(MOBILE, ends))))
    later = replace(before.inputs.context, now=NOW + timedelta(days=days))
    made = replan(before, replace(before.inputs, context=later))
    assert made.recomputed == len(before.view.wanted)
    assert made.plan == plan_fully(made.inputs).plan


def test_most_of_a_catalog_changed_is_planned_from_scratch() -> None:
    before = plan_fully(quiet())
    after = edited(before.inputs, *(resource(key, {"name": "new"}) for key in OTHERS))
    assert replan(before, after).recomputed == len(before.view.wanted)


def test_an_unread_gateway_gives_nothing_to_keep() -> None:
    inputs = quiet()
    failed = replace(inputs, actual=actual(error="timed out"))
    with pytest.raises(ValueError, match="not read to the end"):
        replan(plan_fully(inputs), failed)


def test_plan_hints_that_alone_differ_count_as_a_change() -> None:
    inputs = quiet()
    kept = edited(inputs, replace(inputs.desired.resources[BILLING], hints=PlanHints()))
    assert changed_keys(inputs, kept) == {BILLING}
