"""Decides which wanted APIs are held because they would take requests of somebody else. Pure.

Only a route that is not on the gateway yet can be at fault; docs/catalog.md has the order of
claims. What is on the gateway is what was applied last (or, without a record, what was observed),
so a document that is broken, renamed or just removed holds its places until its removal was
applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from stoa_gitops.model.changes import Action, SkipReason
from stoa_gitops.model.claim_book import ClaimBook, Fault
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.place_index import FOREIGN_OWNER, Claim, Strength, own_strength
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    ForeignRoute,
    Observed,
    Resource,
)
from stoa_gitops.model.routing import RoutePattern, Router
from stoa_gitops.planning.live_routes import (
    LiveSpec,
    api_of,
    desired_patterns,
    live_specs,
    patterns_of,
    policy_types,
)

_NO_KEYS: Final[frozenset[Key]] = frozenset()


@dataclass(frozen=True, slots=True)
class PlaceInputs:
    """What claims are made of: the states of both sides, and the order of matching there."""

    router: Router
    desired: DesiredState
    actual: ActualState
    last: Mapping[Key, AppliedRecord]
    adopting: frozenset[Key] = _NO_KEYS


class Places:
    """All claims on one gateway, and which APIs are held for them.

    held  why, by API; wanted ones only
    """

    def __init__(self, inputs: PlaceInputs, book: _GatewayBook | None = None) -> None:
        self._inputs = inputs
        self._book = book or _GatewayBook(inputs)
        self._edits = self._book.edits
        self.held: Mapping[Key, str] = _held(self._book.claims.faults, inputs.desired)

    def updated(
        self, inputs: PlaceInputs, changed: Iterable[Key], managed: Mapping[Key, Observed]
    ) -> Places:
        """Return the places after some keys changed; `managed` has what is observed of those."""
        before = self._inputs
        is_same = before.router == inputs.router and before.actual.routes == inputs.actual.routes
        # The book moves from value to value: a copy of 10,000 claims would cost more than all else.
        if not is_same or self._book.edits != self._edits:
            return Places(inputs)
        self._book.edit(inputs, {key for key in changed if key.kind == API}, managed)
        return Places(inputs, self._book)


def find_places(
    inputs: PlaceInputs, written: Iterable[Key], managed: Mapping[Key, Observed]
) -> Places | None:
    """Return the places of a gateway; None where no written key has a route that is not there.

    Also None where all tenants keep to their own places: an index of 10,000 APIs takes 30 MiB and a
    multiple of a plan without changes, so nobody makes it for that.
    """
    apis = {api for key in written if (api := api_of(key, inputs.router)) is not None}
    if not any(_has_new_route(key, inputs, managed) for key in apis):
        return None
    return None if _are_all_at_home(inputs) else Places(inputs)


def _are_all_at_home(inputs: PlaceInputs) -> bool:
    """Whether each route lies below the `/apis/<tenant>/` of its tenant, and meets no other's.

    Only where paths end with their segments and no route wins over one with a longer path.
    """
    router = inputs.router
    if router.by_letters or router.reaches_below or any(_foreign_claims(inputs)):
        return False
    managed = _managed_apis(inputs)
    return all(
        own_strength(key.tenant, claim.pattern.path) is Strength.OWN
        and not claim.pattern.by_letters
        for key in _api_keys(inputs, managed)
        for claim in _claims(key, inputs, managed)
    )


def _managed_apis(inputs: PlaceInputs) -> dict[Key, Observed]:
    """Return what is managed of what decides which places APIs take."""
    return {
        seen.key: seen
        for seen in inputs.actual.objects
        if seen.managed and api_of(seen.key, inputs.router) is not None
    }


def _api_keys(inputs: PlaceInputs, managed: Iterable[Key]) -> set[Key]:
    """Return the APIs of both sides, and those that were applied last."""
    return {key for key in (*inputs.desired.resources, *inputs.last, *managed) if key.kind == API}


def with_place_keys(router: Router, keys: Iterable[Key]) -> set[Key]:
    """Return keys with all others that decide which places their APIs take: APIs and policies."""
    found = set(keys)
    apis = {api for key in found if (api := api_of(key, router)) is not None}
    return found | apis | {api.policy(name) for api in apis for name in router.policy_methods}


def _has_new_route(key: Key, inputs: PlaceInputs, managed: Mapping[Key, Observed]) -> bool:
    return any(not claim.is_live for claim in _claims(key, inputs, managed))


class _GatewayBook:
    """The claims of one gateway, from both of its sides; changed in place.

    edits  how often it was changed
    """

    def __init__(self, inputs: PlaceInputs) -> None:
        self.edits = 0
        self.claims = ClaimBook(inputs.router)
        self._renamed: dict[Key, Key] = {}
        self.claims.add_foreign(_foreign_claims(inputs))
        managed = _managed_apis(inputs)
        keys = _api_keys(inputs, managed)
        for key in keys:
            self._replace(key, inputs, managed)
        self.claims.check(keys)

    def edit(self, inputs: PlaceInputs, apis: set[Key], managed: Mapping[Key, Observed]) -> None:
        """Find the claims of some APIs anew, and check all that may take from them."""
        # An API under a new name has the places of the old one.
        apis = apis | {self._renamed[key] for key in apis if key in self._renamed}
        if not apis:
            return
        self.edits += 1
        changed = [claim for key in apis for claim in self._replace(key, inputs, managed)]
        self.claims.check(apis | self.claims.affected(changed))

    def _replace(
        self, key: Key, inputs: PlaceInputs, managed: Mapping[Key, Observed]
    ) -> tuple[Claim, ...]:
        resource = inputs.desired.resources.get(key)
        if resource is not None and resource.hints.moved_from is not None:
            self._renamed[resource.hints.moved_from] = key
        return tuple(self.claims.replace(key, _claims(key, inputs, managed)))


def _held(faults: Mapping[Key, tuple[Fault, ...]], desired: DesiredState) -> dict[Key, str]:
    """Return the desired APIs that are held, each with one reason."""
    held: dict[Key, str] = {}
    # Sorted, so that one of several reasons does not depend on the order of the inputs.
    for key in sorted(faults):
        for taker, victim, is_shared in faults[key]:
            if not is_shared:
                held.setdefault(key, _message(taker, victim, desired))
                continue
            held.setdefault(key, _contested(taker, victim))
            if victim.key is not None:
                held.setdefault(victim.key, _contested(victim, taker))
    return {key: message for key, message in held.items() if key in desired.resources}


def _message(taker: Claim, victim: Claim, desired: DesiredState) -> str:
    what = f"route.held: {taker.pattern.text} would receive requests of {victim.label}"
    if victim.strength is Strength.FOREIGN:
        grant = f"{{tenants: {{{taker.owner}: {{paths: [{taker.pattern.path}]}}}}}}"
        return (
            f"{what}; choose another path, have that route removed or adopted, or let the operator"
            f" grant the path in catalog.yaml: `spec: {grant}`"
        )
    if victim.is_live and victim.key not in desired.resources:
        return f"{what} until its removal was applied; apply again then"
    return f"{what}; {_consent(taker, victim)}"


def _contested(claim: Claim, other: Claim) -> str:
    return (
        f"route.held: {claim.pattern.text} and {other.label} would receive the same requests, and"
        f" neither is there yet; {_consent(claim, other)}"
    )


def _consent(taker: Claim, victim: Claim) -> str:
    owner = victim.key.short if victim.key else victim.owner
    return f"choose another path, or let {owner} write `delegates: [{taker.owner}]` at its route"


def _foreign_claims(inputs: PlaceInputs) -> Iterator[Claim]:
    for route in inputs.actual.routes:
        if route.key not in inputs.adopting:
            yield _foreign_claim(route)


def _foreign_claim(route: ForeignRoute) -> Claim:
    whose = f"the route {route.name} of the catalog {route.owner}"
    label = f"{whose if route.owner else f'the foreign route {route.name}'} ({route.pattern.text})"
    return Claim(FOREIGN_OWNER, None, route.pattern, Strength.FOREIGN, is_live=True, label=label)


def _claims(key: Key, inputs: PlaceInputs, managed: Mapping[Key, Observed]) -> Iterator[Claim]:
    resource = inputs.desired.resources.get(key)
    there = list(_there(key, resource, inputs, managed))
    if resource is None:
        for pattern in dict.fromkeys(patterns_of(there, inputs.router)):
            yield _live(key, pattern, f"{key.short} ({pattern.text}, last applied)")
        return
    label = f"{key.short} at {resource.source}"
    wanted: dict[RoutePattern, Claim] = {}
    policies = policy_types(key, inputs.router, inputs.desired.resources)
    is_unchanged = bool(there) and all(
        spec.raw == resource.spec.raw and types == policies for spec, types in there
    )
    live: set[RoutePattern] = set()
    if not is_unchanged:
        live = set(patterns_of(there, inputs.router))
    if key in inputs.adopting:
        live |= {route.pattern for route in inputs.actual.routes if route.key == key}
    for pattern, hint in desired_patterns(resource, inputs.router, inputs.desired.resources):
        strength = own_strength(key.tenant, pattern.path)
        wanted[pattern] = Claim(
            key.tenant,
            key,
            pattern,
            Strength.GRANTED if hint.is_granted else strength,
            is_live=is_unchanged or _is_part_of(pattern, live),
            delegates=hint.delegates,
            label=f"{label} ({pattern.text})",
        )
    yield from wanted.values()
    # What is there and no longer wanted is held until the change was applied.
    for pattern in sorted(live - wanted.keys(), key=lambda pattern: pattern.text):
        yield _live(key, pattern, f"{label} ({pattern.text}, last applied)")


def _is_part_of(pattern: RoutePattern, live: Collection[RoutePattern]) -> bool:
    """Whether a route takes no request that the routes which are there do not take already."""
    if pattern in live:
        return True
    # Fewer methods take nothing from anybody, where the place among other routes is the same.
    return bool(pattern.methods) and any(
        pattern.methods <= one.methods and replace(pattern, methods=one.methods) == one
        for one in live
    )


def _live(key: Key, pattern: RoutePattern, label: str) -> Claim:
    strength = own_strength(key.tenant, pattern.path)
    return Claim(key.tenant, key, pattern, strength, is_live=True, label=label)


def _there(
    key: Key, resource: Resource | None, inputs: PlaceInputs, managed: Mapping[Key, Observed]
) -> Iterator[LiveSpec]:
    """Yield the specs that are there under a key: what was applied last, and what was observed.

    Under the key of before where it was renamed and nothing is there yet.
    """
    specs = list(live_specs(key, inputs.router, managed, inputs.last))
    yield from specs
    old = resource.hints.moved_from if resource is not None else None
    if not specs and old is not None and (old.kind, old.tenant) == (API, key.tenant):
        yield from _there(old, None, inputs, managed)


def frees_places(plan: Plan) -> bool:
    """Whether applying a plan may free a place for which an API is held: it is tried again then."""
    if not any(skip.reason is SkipReason.HELD for skip in plan.skipped):
        return False
    waiting = plan.held_keys
    return any(
        change.action is Action.DELETE
        or any(field.path[:1] == ("routes",) for field in change.fields)
        for change in plan.changes
        if change.key.kind == API and change.key not in waiting
    )
