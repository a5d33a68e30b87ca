"""Classifies desired and actual objects for one plan: wanted, managed, foreign, renamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    Observed,
    Resource,
)
from stoa_gitops.planning.consent import Consents, with_ended_rights
from stoa_gitops.planning.ended_places import EndedPlaces, find_ended, without_ended
from stoa_gitops.planning.fallback import fall_back
from stoa_gitops.planning.inputs import GatewayPlanInput, PlanContext
from stoa_gitops.planning.subscriptions import without_expired

V = TypeVar("V")

_NOTHING_HELD: Final[Mapping[Key, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ClassifiedState:
    """What all parts of the planner work on.

    wanted         desired objects in scope, without expired subscriptions, with fallbacks
    fallback       keys of `wanted` that come from the last applied record (broken catalog)
    partly         applications -> broken APIs of which they keep the subscriptions that they have
    ending         applications that lose a right now, whatever their documents say
    ended_places   APIs that lose a live route in a place of another tenant, and why
    ended          what that is made from, for all APIs
    managed        our objects on the gateway, in scope
    foreign        the others, without keys that are managed as well
    renames        old key -> new key, policies of renamed APIs included
    duplicates     managed keys that the gateway has more than once -> the id that we manage
    managed_total  number of managed objects, whatever the scope; the prune budget is a share of it
    held           APIs that would take requests of others, and why
    may_be_empty   tenants that may lose all of their objects
    owner          of the catalog
    """

    gateway: GatewayPlanInput
    context: PlanContext
    revision: str
    wanted: Mapping[Key, Resource]
    fallback: frozenset[Key]
    partly: Mapping[Key, tuple[Key, ...]]
    ending: frozenset[Key]
    ended_places: Mapping[Key, str]
    ended: EndedPlaces
    managed: Mapping[Key, Observed]
    foreign: Mapping[Key, Observed]
    last: Mapping[Key, AppliedRecord]
    renames: Mapping[Key, Key]
    duplicates: Mapping[Key, str]
    managed_total: int
    held: Mapping[Key, str]
    may_be_empty: frozenset[str] = frozenset()
    owner: str = ""


def classify(
    gateway: GatewayPlanInput,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
    held: Mapping[Key, str] = _NOTHING_HELD,
    consents: Consents | None = None,
    ended: EndedPlaces | None = None,
) -> ClassifiedState:
    """Classify both sides; the order of the inputs has no influence.

    `held` are the APIs that `places` holds; `consents` and `ended` are those of all APIs, where
    `desired` has only some.
    """
    managed, foreign, duplicates = _split_by_owner(actual, last)
    wanted = _in_scope(desired.resources, context)
    renames = _renames(wanted)
    # Before expired subscriptions are left out: what is restored may have some.
    fallback = fall_back(wanted, managed, last, context, renames)
    consents = consents or Consents(desired.resources)
    in_scope = _in_scope(managed, context)
    entitled, ending = with_ended_rights(fallback.wanted, in_scope, last, consents)
    if ended is None:
        ended = find_ended(gateway.router, desired, managed, last, context.broken)
    entitled, ended_places = without_ended(entitled, in_scope, last, ended, gateway.router)
    return ClassifiedState(
        gateway=gateway,
        context=context,
        revision=desired.revision,
        wanted=_without_expired(entitled, context),
        fallback=fallback.restored,
        partly=fallback.partly,
        ending=ending,
        ended_places=ended_places,
        ended=ended,
        managed=in_scope,
        foreign=_in_scope(foreign, context),
        last=last,
        renames=_with_policies(renames, managed),
        duplicates=duplicates,
        managed_total=len(managed),
        held=held,
        may_be_empty=desired.may_be_empty,
        owner=desired.owner,
    )


def _without_expired(
    wanted: Mapping[Key, Resource], context: PlanContext
) -> Mapping[Key, Resource]:
    """Return the resources as of now; the identical mapping where nothing has expired."""
    shortened = {
        key: current
        for key, resource in wanted.items()
        if key.kind == APPLICATION
        and (current := without_expired(resource, context.now)) is not resource
    }
    return {**wanted, **shortened} if shortened else wanted


def _renames(wanted: Mapping[Key, Resource]) -> dict[Key, Key]:
    """Return old key -> new key; the first by order if two resources claim one old key."""
    renames: dict[Key, Key] = {}
    for key in sorted(key for key, resource in wanted.items() if resource.hints.moved_from):
        old = wanted[key].hints.moved_from
        # A name that is desired itself is no rename: both objects are to exist. And nobody renames
        # what another tenant has.
        if old is not None and old not in wanted and old.tenant == key.tenant:
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


def _in_scope(objects: Mapping[Key, V], context: PlanContext) -> Mapping[Key, V]:
    """Return what the plan may concern; the identical mapping where that is everything."""
    if context.tenant is None:
        return objects
    return {key: item for key, item in objects.items() if context.is_in_scope(key)}


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
