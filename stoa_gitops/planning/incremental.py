"""Plans incrementally: decides only changed keys and their dependents again, keeps the rest.

A property test asserts that the result equals planning from scratch. Every doubt plans from
scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import Observed, Resource
from stoa_gitops.planning.changed_keys import (
    PlanInputs,
    can_replan,
    changed_keys,
    differing_keys,
    has_same_inputs,
)
from stoa_gitops.planning.classification import ClassifiedState, classify
from stoa_gitops.planning.comparison import SpecComparer
from stoa_gitops.planning.consent import Consents
from stoa_gitops.planning.decisions import Decisions, assemble_plan
from stoa_gitops.planning.ended_places import EndedPlaces, OwnPlaces, is_elsewhere, may_exist
from stoa_gitops.planning.inventory_updates import InventoryUpdates, updates_of_view
from stoa_gitops.planning.key_graph import KeyGraph, merge_keys
from stoa_gitops.planning.live_routes import routes_of
from stoa_gitops.planning.places import PlaceInputs, Places, find_places, with_place_keys
from stoa_gitops.planning.planner import decide, decide_places, held_apis

V = TypeVar("V")

# Share of all keys. With more to decide, cutting and merging costs as much as planning from
# scratch.
WORTHWHILE: Final = 0.3


class Elsewhere:
    """Whether some live route may lie in a place of another tenant, found when somebody asks.

    Once for all plans that follow from one another: what would let the first such route in makes a
    plan from scratch.
    """

    def __init__(self) -> None:
        self._found: bool | None = None

    def may_exist(self, inputs: PlanInputs) -> bool:
        """Return it for the inputs of the last plan."""
        if self._found is None:
            self._found = may_exist(inputs.desired, inputs.actual.objects, inputs.last)
        return self._found


@dataclass(frozen=True, slots=True)
class PlanState:
    """A plan with everything that the next one can be made from.

    graph       which keys decide about which others
    places      which APIs are held for the sake of others; None while nobody had to ask
    recomputed  number of keys that were decided for this plan
    """

    inputs: PlanInputs
    view: ClassifiedState
    decisions: Decisions
    graph: KeyGraph
    places: Places | None
    plan: Plan
    inventory_updates: InventoryUpdates
    recomputed: int
    elsewhere: Elsewhere = field(default_factory=Elsewhere, compare=False)


def plan_fully(inputs: PlanInputs) -> PlanState:
    """Plan from scratch; raises ValueError for a gateway that was not read to the end."""
    if not inputs.actual.is_complete:
        raise ValueError("a gateway that was not read to the end has no plan to keep")
    view, comparer = _classify(inputs, {})
    view, decisions, places = decide_places(view, comparer, inputs.desired, inputs.actual)
    inventory_updates = updates_of_view(view, comparer)
    plan = assemble_plan(view, decisions)
    graph = KeyGraph.of(view, inputs.desired.resources)
    count = len(view.wanted)
    return PlanState(inputs, view, decisions, graph, places, plan, inventory_updates, count)


def _place_inputs(inputs: PlanInputs) -> PlaceInputs:
    return PlaceInputs(inputs.gateway.router, inputs.desired, inputs.actual, inputs.last)


def replan(
    before: PlanState | None, inputs: PlanInputs, worthwhile: float = WORTHWHILE
) -> PlanState:
    """Return what `plan_fully` returns, from the plan before where few keys have changed.

    `worthwhile` is the largest share of keys for which that is done.

        state = replan(None, inputs)
        state = replan(state, replace(inputs, desired=edited))
        state.plan, state.recomputed
    """
    if before is None or not inputs.actual.is_complete:
        return plan_fully(inputs)
    if has_same_inputs(before.inputs, inputs):
        return replace(before, inputs=inputs, recomputed=0)
    if not can_replan(before.inputs, inputs):
        return plan_fully(inputs)
    # The larger side counts: an empty catalog deletes everything that is managed.
    most = worthwhile * max(len(before.view.wanted), len(before.view.managed))
    changed = changed_keys(before.inputs, inputs)
    if before.inputs.desired.revision != inputs.desired.revision:
        changed |= (
            before.decisions.deletes.keys()
        )  # their reasons name the revision, as these records do
        changed |= {record.key for record in before.inventory_updates.records}
    if len(changed) > most:
        return plan_fully(inputs)
    if _may_end_places(before, inputs, changed):
        return plan_fully(inputs)
    places = _places(before, inputs, changed)
    held = _held(inputs, places)
    changed |= differing_keys(before.view.held, held)
    graph = before.graph.renewed(changed, inputs.desired.resources)
    reached = graph.reached(changed, before.graph, before.decisions.skipped)
    if len(reached) > most:
        return plan_fully(inputs)
    return _replan_keys(before, inputs, graph, places, held, reached)


def _replan_keys(
    before: PlanState,
    inputs: PlanInputs,
    graph: KeyGraph,
    places: Places | None,
    held: Mapping[Key, str],
    reached: set[Key],
) -> PlanState:
    consents = Consents(inputs.desired.resources)
    limited = _restrict_to(before, inputs, reached)
    part, comparer = _classify(limited, held, consents, before.view.ended)
    decisions, inventory_updates = decide(part, comparer), updates_of_view(part, comparer)
    # Keys that neither side has any more leave the graph, or it would grow with each revision.
    gone = reached - part.wanted.keys() - part.managed.keys() - part.foreign.keys()
    graph = graph.without(gone)
    view = _merge_views(before, part, reached, inputs)
    decisions = _merge_decisions(before.decisions, decisions, reached)
    plan = assemble_plan(view, decisions)
    inventory_updates = _merge_updates(before.inventory_updates, inventory_updates, reached)
    count = len(reached)
    return PlanState(
        inputs, view, decisions, graph, places, plan, inventory_updates, count, before.elsewhere
    )


def _may_end_places(before: PlanState, inputs: PlanInputs, changed: set[Key]) -> bool:
    """Whether other live routes may end now: then nothing is kept of the plan before."""
    apis = {key for key in with_place_keys(inputs.gateway.router, changed) if key.kind == API}
    if not apis:
        return False
    was, now = before.inputs.desired, inputs.desired
    if before.elsewhere.may_exist(before.inputs):
        has_moved = any(_places_of(before.inputs, key) != _places_of(inputs, key) for key in apis)
        return has_moved or was.rights != now.rights
    if was.rights != now.rights:
        return True
    # The first API of a tenant: what others have below its `/apis/` lies in its place now.
    new = {key.tenant for key in apis if key in now.resources and key not in was.resources}
    if new and not new <= {key.tenant for key in was.resources if key.kind == API}:
        return True
    own = OwnPlaces(now)
    managed = {seen.key: seen for seen in _objects_of(before, inputs, apis) if seen.managed}
    return any(is_elsewhere(key, own, seen, inputs.last.get(key)) for key, seen in managed.items())


def _places_of(inputs: PlanInputs, key: Key) -> tuple[object, ...]:
    """Return what decides which routes of and below an API end, as far as one key goes."""
    resource, record = inputs.desired.resources.get(key), inputs.last.get(key)
    specs = (resource.spec if resource else None, record.spec if record else None)
    hints = resource.hints.places if resource else ()
    return (hints, *([str(route) for route in routes_of(s)] if s else None for s in specs))


def _held(inputs: PlanInputs, places: Places | None) -> Mapping[Key, str]:
    is_flat = inputs.gateway.has_one_name_space
    return held_apis(_place_inputs(inputs), places, has_one_name_space=is_flat)


def _places(before: PlanState, inputs: PlanInputs, changed: set[Key]) -> Places | None:
    """Return the places where some key had or has a route that is not there yet."""
    changed = with_place_keys(inputs.gateway.router, changed)
    objects = _objects_of(before, inputs, changed)
    managed = {seen.key: seen for seen in objects if seen.managed}
    found = _place_inputs(inputs)
    if before.places is not None:
        return before.places.updated(found, changed, managed)
    return find_places(found, changed, managed)


def _classify(
    inputs: PlanInputs,
    held: Mapping[Key, str],
    consents: Consents | None = None,
    ended: EndedPlaces | None = None,
) -> tuple[ClassifiedState, SpecComparer]:
    gateway, context = inputs.gateway, inputs.context
    view = classify(
        gateway, inputs.desired, inputs.actual, inputs.last, context, held, consents, ended
    )
    return view, SpecComparer(gateway.project, context.secrets)


def _restrict_to(before: PlanState, inputs: PlanInputs, keys: set[Key]) -> PlanInputs:
    """Return the inputs of these keys alone."""
    return replace(
        inputs,
        desired=replace(inputs.desired, resources=_only(inputs.desired.resources, keys)),
        actual=replace(inputs.actual, objects=_objects_of(before, inputs, keys)),
        last=_only(inputs.last, keys),
    )


def _objects_of(before: PlanState, inputs: PlanInputs, keys: set[Key]) -> tuple[Observed, ...]:
    """Return all objects under these keys."""
    # Where the gateway did not change they are in the last view, which spares a walk over 30,000.
    # Not for duplicates: a view has one object for each key.
    view, was = before.view, before.inputs
    is_same = was.actual.objects is inputs.actual.objects and was.last is inputs.last
    if not is_same or not view.duplicates.keys().isdisjoint(keys):
        return tuple(seen for seen in inputs.actual.objects if seen.key in keys)
    sides = (view.managed, view.foreign)
    return tuple(side[key] for key in keys for side in sides if key in side)


def _only(mapping: Mapping[Key, V], keys: set[Key]) -> dict[Key, V]:
    return {key: mapping[key] for key in keys if key in mapping}


def _merge_views(
    before: PlanState, part: ClassifiedState, reached: set[Key], inputs: PlanInputs
) -> ClassifiedState:
    was = before.view
    managed = merge_keys(was.managed, part.managed, reached)
    return replace(
        part,
        wanted=_merge_wanted(before, part, reached, inputs),
        ending=(was.ending - reached) | part.ending,
        ended_places=merge_keys(was.ended_places, part.ended_places, reached),
        managed=managed,
        foreign=merge_keys(was.foreign, part.foreign, reached),
        last=inputs.last,
        renames=merge_keys(was.renames, part.renames, reached),
        duplicates=merge_keys(was.duplicates, part.duplicates, reached),
        managed_total=len(managed),
    )


def _merge_wanted(
    before: PlanState, part: ClassifiedState, reached: set[Key], inputs: PlanInputs
) -> Mapping[Key, Resource]:
    """Return the wanted resources: mostly the identical mapping of the desired ones, uncopied."""
    desired, wanted = inputs.desired.resources, before.view.wanted
    is_as_desired = wanted is before.inputs.desired.resources
    if is_as_desired and all(part.wanted.get(key) is desired.get(key) for key in reached):
        return desired
    return merge_keys(wanted, part.wanted, reached)


def _merge_decisions(before: Decisions, part: Decisions, reached: set[Key]) -> Decisions:
    return Decisions(
        skipped=merge_keys(before.skipped, part.skipped, reached),
        writes=merge_keys(before.writes, part.writes, reached),
        deletes=merge_keys(before.deletes, part.deletes, reached),
        retained=merge_keys(before.retained, part.retained, reached),
        lost=merge_keys(before.lost, part.lost, reached),
    )


def _merge_updates(
    before: InventoryUpdates, part: InventoryUpdates, reached: set[Key]
) -> InventoryUpdates:
    records = [record for record in before.records if record.key not in reached]
    removed = [key for key in before.removed if key not in reached]
    return InventoryUpdates(
        tuple(sorted([*records, *part.records], key=lambda record: record.key)),
        tuple(sorted([*removed, *part.removed])),
    )
