"""A plan out of the one before it: what few moved keys lead to is judged again, the rest is kept.

A law says that this gives exactly what planning from scratch gives. Whatever is in doubt is planned from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import Observed, Resource
from stoa_gitops.planning.changed_keys import PlanInputs, are_alike, moved_keys
from stoa_gitops.planning.classification import ClassifiedState, survey
from stoa_gitops.planning.comparison import SpecComparer
from stoa_gitops.planning.decisions import Decisions, assemble_plan
from stoa_gitops.planning.inventory_updates import InventoryUpdates, upkeep_of
from stoa_gitops.planning.key_graph import KeyGraph, joined
from stoa_gitops.planning.planner import judged

V = TypeVar("V")

WORTHWHILE: Final = 0.3
"""Share of all keys above which judging the reached ones costs as much as judging all."""


@dataclass(frozen=True, slots=True)
class PlanState:
    """A plan and its upkeep with what the next one can be made from. `judged` counts the keys judged anew."""

    states: PlanInputs
    view: ClassifiedState
    findings: Decisions
    ties: KeyGraph
    plan: Plan
    upkeep: InventoryUpdates
    judged: int


def plan_fully(states: PlanInputs) -> PlanState:
    """Plan from scratch; ValueError where the gateway was not read to the end."""
    if not states.actual.is_complete:
        raise ValueError("there is no plan to keep of a gateway that was not read to the end")
    view, findings, upkeep = _judged(states)
    plan = assemble_plan(view, findings)
    ties = KeyGraph.of(view, states.desired.resources)
    return PlanState(states, view, findings, ties, plan, upkeep, len(view.wanted))


def replan(
    before: PlanState | None, states: PlanInputs, worthwhile: float = WORTHWHILE
) -> PlanState:
    """Return what `plan_fully` returns, out of the plan before where few keys have moved."""
    if before is None or not states.actual.is_complete or not are_alike(before.states, states):
        return plan_fully(states)
    most = worthwhile * max(len(before.view.wanted), len(before.view.managed))
    moved = moved_keys(before.states, states)
    if before.states.desired.revision != states.desired.revision:
        moved |= before.findings.deletes.keys()  # their reasons and these records name the revision
        moved |= {record.key for record in before.upkeep.records}
    if len(moved) > most:
        return plan_fully(states)
    ties = before.ties.renewed(moved, states.desired.resources)
    reached = ties.reached(moved, before.ties, before.findings.aside)
    if len(reached) > most:
        return plan_fully(states)
    return _redrawn(before, states, ties, reached)


def _redrawn(before: PlanState, states: PlanInputs, ties: KeyGraph, reached: set[Key]) -> PlanState:
    part, findings, upkeep = _judged(_cut(before, states, reached))
    gone = reached - part.wanted.keys() - part.managed.keys() - part.foreign.keys()
    ties = ties.without(gone)
    view = _joined_views(before, part, reached, states)
    findings = _joined_findings(before.findings, findings, reached)
    plan = assemble_plan(view, findings)
    upkeep = _joined_upkeep(before.upkeep, upkeep, reached)
    return PlanState(states, view, findings, ties, plan, upkeep, len(reached))


def _judged(states: PlanInputs) -> tuple[ClassifiedState, Decisions, InventoryUpdates]:
    target, situation = states.target, states.situation
    view = survey(target, states.desired, states.actual, states.last, situation)
    merge = SpecComparer(target.project, situation.secrets)
    return view, judged(view, merge), upkeep_of(view, merge)


def _cut(before: PlanState, states: PlanInputs, keys: set[Key]) -> PlanInputs:
    """Return the states with these keys alone."""
    return replace(
        states,
        desired=replace(states.desired, resources=_only(states.desired.resources, keys)),
        actual=replace(states.actual, objects=_objects_of(before, states, keys)),
        last=_only(states.last, keys),
    )


def _objects_of(before: PlanState, states: PlanInputs, keys: set[Key]) -> tuple[Observed, ...]:
    """Return all objects under these keys; those of the last view where nobody touched the gateway."""
    view, was = before.view, before.states
    is_same = was.actual.objects is states.actual.objects and was.last is states.last
    if not is_same or not view.doubles.keys().isdisjoint(keys):
        return tuple(one for one in states.actual.objects if one.key in keys)
    sides = (view.managed, view.foreign)
    return tuple(side[key] for key in keys for side in sides if key in side)


def _only(mapping: Mapping[Key, V], keys: set[Key]) -> dict[Key, V]:
    return {key: mapping[key] for key in keys if key in mapping}


def _joined_views(
    before: PlanState, part: ClassifiedState, reached: set[Key], states: PlanInputs
) -> ClassifiedState:
    was = before.view
    managed = joined(was.managed, part.managed, reached)
    return replace(
        part,
        wanted=_joined_wanted(before, part, reached, states),
        managed=managed,
        foreign=joined(was.foreign, part.foreign, reached),
        last=states.last,
        moves=joined(was.moves, part.moves, reached),
        doubles=joined(was.doubles, part.doubles, reached),
        population=len(managed),
    )


def _joined_wanted(
    before: PlanState, part: ClassifiedState, reached: set[Key], states: PlanInputs
) -> Mapping[Key, Resource]:
    """Return the wanted resources: most often the desired ones as they are, which spares a copy of all."""
    asked, wanted = states.desired.resources, before.view.wanted
    is_as_asked = wanted is before.states.desired.resources
    if is_as_asked and all(part.wanted.get(key) is asked.get(key) for key in reached):
        return asked
    return joined(wanted, part.wanted, reached)


def _joined_findings(before: Decisions, part: Decisions, reached: set[Key]) -> Decisions:
    return Decisions(
        aside=joined(before.aside, part.aside, reached),
        writes=joined(before.writes, part.writes, reached),
        deletes=joined(before.deletes, part.deletes, reached),
        stays=joined(before.stays, part.stays, reached),
        lost=joined(before.lost, part.lost, reached),
    )


def _joined_upkeep(
    before: InventoryUpdates, part: InventoryUpdates, reached: set[Key]
) -> InventoryUpdates:
    records = [record for record in before.records if record.key not in reached]
    forget = [key for key in before.forget if key not in reached]
    return InventoryUpdates(
        tuple(sorted([*records, *part.records], key=lambda record: record.key)),
        tuple(sorted([*forget, *part.forget])),
    )
