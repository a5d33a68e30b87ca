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
from stoa_gitops.planning.changed_keys import States, are_alike, moved_keys
from stoa_gitops.planning.classification import Survey, survey
from stoa_gitops.planning.comparison import Merge
from stoa_gitops.planning.decisions import Findings, put_together
from stoa_gitops.planning.inventory_updates import Upkeep, upkeep_of
from stoa_gitops.planning.key_graph import Ties, joined
from stoa_gitops.planning.planner import judged

V = TypeVar("V")

WORTHWHILE: Final = 0.3
"""Share of all keys above which judging the reached ones costs as much as judging all."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan and its upkeep with what the next one can be made from. `judged` counts the keys judged anew."""

    states: States
    view: Survey
    findings: Findings
    ties: Ties
    plan: Plan
    upkeep: Upkeep
    judged: int


def draw(states: States) -> Drawn:
    """Plan from scratch; ValueError where the gateway was not read to the end."""
    if not states.actual.is_complete:
        raise ValueError("there is no plan to keep of a gateway that was not read to the end")
    view, findings, upkeep = _judged(states)
    plan = put_together(view, findings)
    ties = Ties.of(view, states.desired.resources)
    return Drawn(states, view, findings, ties, plan, upkeep, len(view.wanted))


def redraw(before: Drawn | None, states: States, worthwhile: float = WORTHWHILE) -> Drawn:
    """Return what `draw` returns, out of the plan before where few keys have moved."""
    if before is None or not states.actual.is_complete or not are_alike(before.states, states):
        return draw(states)
    most = worthwhile * max(len(before.view.wanted), len(before.view.managed))
    moved = moved_keys(before.states, states)
    if before.states.desired.revision != states.desired.revision:
        moved |= before.findings.deletes.keys()  # their reasons and these records name the revision
        moved |= {record.key for record in before.upkeep.records}
    if len(moved) > most:
        return draw(states)
    ties = before.ties.renewed(moved, states.desired.resources)
    reached = ties.reached(moved, before.ties, before.findings.aside)
    if len(reached) > most:
        return draw(states)
    return _redrawn(before, states, ties, reached)


def _redrawn(before: Drawn, states: States, ties: Ties, reached: set[Key]) -> Drawn:
    part, findings, upkeep = _judged(_cut(before, states, reached))
    gone = reached - part.wanted.keys() - part.managed.keys() - part.foreign.keys()
    ties = ties.without(gone)
    view = _joined_views(before, part, reached, states)
    findings = _joined_findings(before.findings, findings, reached)
    plan = put_together(view, findings)
    upkeep = _joined_upkeep(before.upkeep, upkeep, reached)
    return Drawn(states, view, findings, ties, plan, upkeep, len(reached))


def _judged(states: States) -> tuple[Survey, Findings, Upkeep]:
    target, situation = states.target, states.situation
    view = survey(target, states.desired, states.actual, states.last, situation)
    merge = Merge(target.project, situation.secrets)
    return view, judged(view, merge), upkeep_of(view, merge)


def _cut(before: Drawn, states: States, keys: set[Key]) -> States:
    """Return the states with these keys alone."""
    return replace(
        states,
        desired=replace(states.desired, resources=_only(states.desired.resources, keys)),
        actual=replace(states.actual, objects=_objects_of(before, states, keys)),
        last=_only(states.last, keys),
    )


def _objects_of(before: Drawn, states: States, keys: set[Key]) -> tuple[Observed, ...]:
    """Return all objects under these keys; those of the last view where nobody touched the gateway."""
    view, was = before.view, before.states
    is_same = was.actual.objects is states.actual.objects and was.last is states.last
    if not is_same or not view.doubles.keys().isdisjoint(keys):
        return tuple(one for one in states.actual.objects if one.key in keys)
    sides = (view.managed, view.foreign)
    return tuple(side[key] for key in keys for side in sides if key in side)


def _only(mapping: Mapping[Key, V], keys: set[Key]) -> dict[Key, V]:
    return {key: mapping[key] for key in keys if key in mapping}


def _joined_views(before: Drawn, part: Survey, reached: set[Key], states: States) -> Survey:
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
    before: Drawn, part: Survey, reached: set[Key], states: States
) -> Mapping[Key, Resource]:
    """Return the wanted resources: most often the desired ones as they are, which spares a copy of all."""
    asked, wanted = states.desired.resources, before.view.wanted
    is_as_asked = wanted is before.states.desired.resources
    if is_as_asked and all(part.wanted.get(key) is asked.get(key) for key in reached):
        return asked
    return joined(wanted, part.wanted, reached)


def _joined_findings(before: Findings, part: Findings, reached: set[Key]) -> Findings:
    return Findings(
        aside=joined(before.aside, part.aside, reached),
        writes=joined(before.writes, part.writes, reached),
        deletes=joined(before.deletes, part.deletes, reached),
        stays=joined(before.stays, part.stays, reached),
        lost=joined(before.lost, part.lost, reached),
    )


def _joined_upkeep(before: Upkeep, part: Upkeep, reached: set[Key]) -> Upkeep:
    records = [record for record in before.records if record.key not in reached]
    forget = [key for key in before.forget if key not in reached]
    return Upkeep(
        tuple(sorted([*records, *part.records], key=lambda record: record.key)),
        tuple(sorted([*forget, *part.forget])),
    )
