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

    gateway: GatewayPlanInput
    context: PlanContext
    revision: str
    wanted: Mapping[Key, Resource]
    fallback: frozenset[Key]
    managed: Mapping[Key, Observed]
    foreign: Mapping[Key, Observed]
    last: Mapping[Key, AppliedRecord]
    renames: Mapping[Key, Key]
    duplicates: Mapping[Key, str]
    managed_total: int


def classify(
    gateway: GatewayPlanInput,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
) -> ClassifiedState:
    """Lay both sides out; the order of the inputs has no influence."""
    managed, foreign, duplicates = _sides(actual, last)
    wanted = _wanted(desired, context)
    renames = _renames(wanted)
    fallback = _fallback_resources(wanted, last, context, renames)
    return ClassifiedState(
        gateway=gateway,
        context=context,
        revision=desired.revision,
        wanted={**wanted, **fallback} if fallback else wanted,
        fallback=frozenset(fallback),
        managed=_in_scope(managed, context),
        foreign=_in_scope(foreign, context),
        last=last,
        renames=_with_policies(renames, managed),
        duplicates=duplicates,
        managed_total=len(managed),
    )


def _wanted(desired: DesiredState, context: PlanContext) -> Mapping[Key, Resource]:
    """Return what is wanted here and now: the very mapping of the desired state where that is all of it."""
    resources = desired.resources
    if context.tenant is not None:
        resources = {k: one for k, one in resources.items() if k.tenant == context.tenant}
    ended = {
        key: now
        for key, resource in resources.items()
        if key.kind == APPLICATION
        and (now := without_expired(resource, context.now)) is not resource
    }
    return {**resources, **ended} if ended else resources


def _renames(wanted: Mapping[Key, Resource]) -> dict[Key, Key]:
    """Return old key -> new key; where two claim one old key, the first by order has it."""
    renames: dict[Key, Key] = {}
    for key in sorted(key for key, resource in wanted.items() if resource.hints.moved_from):
        old = wanted[key].hints.moved_from
        if old is not None and old not in wanted:
            renames.setdefault(old, key)
    return renames


def _sides(
    actual: ActualState, last: Mapping[Key, AppliedRecord]
) -> tuple[dict[Key, Observed], dict[Key, Observed], dict[Key, str]]:
    """Tell ours from foreign; of two under one key the recorded id counts, else the lowest id."""
    managed: dict[Key, Observed] = {}
    foreign: dict[Key, Observed] = {}
    duplicates: set[Key] = set()
    for seen in actual.objects:
        side = managed if seen.managed else foreign
        other = side.setdefault(seen.key, seen)
        if other is seen:
            continue
        if seen.managed:
            duplicates.add(seen.key)
        record = last.get(seen.key)
        known = record.gateway_id if record else None
        side[seen.key] = min((seen, other), key=partial(_preference, known))
    for key in foreign.keys() & managed.keys():
        del foreign[key]
    return managed, foreign, {key: managed[key].gateway_id for key in duplicates}


def _preference(known: str | None, seen: Observed) -> tuple[bool, str, bytes]:
    return (seen.gateway_id != known, seen.gateway_id, seen.spec.raw)


def _in_scope(objects: dict[Key, Observed], context: PlanContext) -> dict[Key, Observed]:
    if context.tenant is None:
        return objects
    return {key: seen for key, seen in objects.items() if context.is_in_scope(key)}


def _fallback_resources(
    wanted: Mapping[Key, Resource],
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
    renames: Mapping[Key, Key],
) -> dict[Key, Resource]:
    """Return what was applied last for keys that a broken catalog no longer shows."""
    if not context.broken:
        return {}
    return {
        key: without_expired(_restored(record), context.now)
        for key, record in last.items()
        if context.broken.covers(key)
        and context.is_in_scope(key)
        and key not in wanted
        and key not in renames
    }


def _restored(record: AppliedRecord) -> Resource:
    source = SourceRef(f"(last applied at {record.revision})")
    return Resource(record.key, record.spec, source, PlanHints(protected=record.protected))


def _with_policies(
    renames: Mapping[Key, Key], managed: Mapping[Key, Observed]
) -> Mapping[Key, Key]:
    """Let the policies of a renamed API go with it."""
    apis = {old: new for old, new in renames.items() if old.kind == API}
    if not apis:
        return renames
    found = dict(renames)
    for key in managed:
        owner = key.parent
        if owner is not None and owner in apis:
            found.setdefault(key, apis[owner])
    return found
