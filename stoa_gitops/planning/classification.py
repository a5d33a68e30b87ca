"""Classifies desired and actual objects for one plan: wanted, managed, foreign, renamed."""

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
    """What all parts of the planner work on.

    wanted         desired objects in scope, without expired subscriptions, with fallbacks
    fallback       keys of `wanted` that come from the last applied record (broken catalog)
    managed        our objects on the gateway, in scope
    foreign        the others, without keys that are managed as well
    renames        old key -> new key, policies of renamed APIs included
    duplicates     managed keys that the gateway has more than once -> the id that we manage
    managed_total  number of managed objects, whatever the scope; the prune budget is a share of it
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
    """Classify both sides; the order of the inputs has no influence."""
    managed, foreign, duplicates = _split_by_owner(actual, last)
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
    """Return the desired resources in scope; the identical mapping where that is all of them."""
    resources = desired.resources
    if context.tenant is not None:
        resources = {k: item for k, item in resources.items() if k.tenant == context.tenant}
    shortened = {
        key: current
        for key, resource in resources.items()
        if key.kind == APPLICATION
        and (current := without_expired(resource, context.now)) is not resource
    }
    return {**resources, **shortened} if shortened else resources


def _renames(wanted: Mapping[Key, Resource]) -> dict[Key, Key]:
    """Return old key -> new key; the first by order if two resources claim one old key."""
    renames: dict[Key, Key] = {}
    for key in sorted(key for key, resource in wanted.items() if resource.hints.moved_from):
        old = wanted[key].hints.moved_from
        # A name that is desired itself is no rename: both objects are to exist.
        if old is not None and old not in wanted:
            renames.setdefault(old, key)
    return renames


def _split_by_owner(
    actual: ActualState, last: Mapping[Key, AppliedRecord]
) -> tuple[dict[Key, Observed], dict[Key, Observed], dict[Key, str]]:
    """Split into managed, foreign and duplicates; see `_preference` for two under one key."""
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
        # Two objects under one key: a copy that somebody made, or a create that timed out and
        # succeeded.
        record = last.get(seen.key)
        recorded_id = record.gateway_id if record else None
        side[seen.key] = min((seen, other), key=partial(_preference, recorded_id))
    # A foreign object under a key of ours is no conflict: ours is there and is updated.
    for key in foreign.keys() & managed.keys():
        del foreign[key]
    return managed, foreign, {key: managed[key].gateway_id for key in duplicates}


def _preference(known: str | None, seen: Observed) -> tuple[bool, str, bytes]:
    # The recorded id first; then an order that does not depend on how the gateway lists.
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
    """Return what was applied last under keys that a broken document may have defined."""
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
    """Add the policies of renamed APIs: they are deleted once the new API is there."""
    apis = {old: new for old, new in renames.items() if old.kind == API}
    if not apis:
        return renames
    found = dict(renames)
    for key in managed:
        owner = key.parent
        if owner is not None and owner in apis:
            found.setdefault(key, apis[owner])
    return found
