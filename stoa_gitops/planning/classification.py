"""Both sides laid out for one plan: what is wanted here and now, what is ours, what is foreign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    Observed,
    PlanHints,
    Resource,
    SourceRef,
)
from stoa_gitops.planning.inputs import GatewayPlanInput, PlanContext
from stoa_gitops.planning.subscriptions import without_expired


@dataclass(frozen=True, slots=True)
class ClassifiedState:
    """What the parts of the planner look at.

    wanted     desired objects in scope, without what has expired, stand-ins included
    standing   keys of `wanted` for which the last applied record stands in (broken catalog)
    managed    our objects on the gateway in scope
    foreign    the others; a key that is ours, too, is not among them
    moves      old key -> new key of objects that were renamed
    doubles    managed keys that are on the gateway more than once -> the id that is looked after
    population all managed objects of the gateway, whatever the scope
    """

    target: GatewayPlanInput
    situation: PlanContext
    revision: str
    wanted: Mapping[Key, Resource]
    standing: frozenset[Key]
    managed: Mapping[Key, Observed]
    foreign: Mapping[Key, Observed]
    last: Mapping[Key, AppliedRecord]
    moves: Mapping[Key, Key]
    doubles: Mapping[Key, str]
    population: int


def survey(
    target: GatewayPlanInput,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    situation: PlanContext,
) -> ClassifiedState:
    """Lay both sides out; the order of the inputs has no influence."""
    managed, foreign, doubles = _sides(actual, last)
    wanted = _wanted(desired, situation)
    moves = _moves(wanted)
    standing = _stand_ins(wanted, last, situation, moves)
    return ClassifiedState(
        target=target,
        situation=situation,
        revision=desired.revision,
        wanted={**wanted, **standing} if standing else wanted,
        standing=frozenset(standing),
        managed=_in_scope(managed, situation),
        foreign=_in_scope(foreign, situation),
        last=last,
        moves=_with_policies(moves, managed),
        doubles=doubles,
        population=len(managed),
    )


def _wanted(desired: DesiredState, situation: PlanContext) -> Mapping[Key, Resource]:
    """Return what is wanted here and now: the very mapping of the desired state where that is all of it."""
    resources = desired.resources
    if situation.tenant is not None:
        resources = {k: one for k, one in resources.items() if k.tenant == situation.tenant}
    ended = {
        key: now
        for key, resource in resources.items()
        if key.kind == APPLICATION
        and (now := without_expired(resource, situation.now)) is not resource
    }
    return {**resources, **ended} if ended else resources


def _moves(wanted: Mapping[Key, Resource]) -> dict[Key, Key]:
    """Return old key -> new key; where two claim one old key, the first by order has it."""
    moves: dict[Key, Key] = {}
    for key in sorted(key for key, resource in wanted.items() if resource.hints.moved_from):
        old = wanted[key].hints.moved_from
        if old is not None and old not in wanted:
            moves.setdefault(old, key)
    return moves


def _sides(
    actual: ActualState, last: Mapping[Key, AppliedRecord]
) -> tuple[dict[Key, Observed], dict[Key, Observed], dict[Key, str]]:
    """Tell ours from foreign; of two under one key the recorded id counts, else the lowest id."""
    managed: dict[Key, Observed] = {}
    foreign: dict[Key, Observed] = {}
    doubles: set[Key] = set()
    for seen in actual.objects:
        side = managed if seen.managed else foreign
        other = side.setdefault(seen.key, seen)
        if other is seen:
            continue
        if seen.managed:
            doubles.add(seen.key)
        record = last.get(seen.key)
        known = record.gateway_id if record else None
        side[seen.key] = min((seen, other), key=partial(_preference, known))
    for key in foreign.keys() & managed.keys():
        del foreign[key]
    return managed, foreign, {key: managed[key].gateway_id for key in doubles}


def _preference(known: str | None, seen: Observed) -> tuple[bool, str, bytes]:
    return (seen.gateway_id != known, seen.gateway_id, seen.spec.raw)


def _in_scope(objects: dict[Key, Observed], situation: PlanContext) -> dict[Key, Observed]:
    if situation.tenant is None:
        return objects
    return {key: seen for key, seen in objects.items() if situation.is_in_scope(key)}


def _stand_ins(
    wanted: Mapping[Key, Resource],
    last: Mapping[Key, AppliedRecord],
    situation: PlanContext,
    moves: Mapping[Key, Key],
) -> dict[Key, Resource]:
    """Return what was applied last for keys that a broken catalog no longer shows."""
    if not situation.withheld:
        return {}
    return {
        key: without_expired(_restored(record), situation.now)
        for key, record in last.items()
        if situation.withheld.covers(key)
        and situation.is_in_scope(key)
        and key not in wanted
        and key not in moves
    }


def _restored(record: AppliedRecord) -> Resource:
    source = SourceRef(f"(last applied at {record.revision})")
    return Resource(record.key, record.spec, source, PlanHints(protected=record.protected))


def _with_policies(moves: Mapping[Key, Key], managed: Mapping[Key, Observed]) -> Mapping[Key, Key]:
    """Let the policies of a renamed API go with it."""
    apis = {old: new for old, new in moves.items() if old.kind == API}
    if not apis:
        return moves
    found = dict(moves)
    for key in managed:
        owner = key.parent
        if owner is not None and owner in apis:
            found.setdefault(key, apis[owner])
    return found
