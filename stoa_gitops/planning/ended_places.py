"""Ends live routes in a place of another tenant that does not consent to them any more. Pure.

That is so only where the catalog alone says whose a place is: what the operator grants, and the
`/apis/<tenant>/` of each tenant. Elsewhere who is there stays, for nobody can say whether a route
came by consent or before the one that lies above it. As with subscriptions (`consent`), it does not
depend on the document of who loses the route, which may be broken, protected or held back: what is
live loses it first, and follows its document afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.path_parameters import places_met
from stoa_gitops.model.place_index import Claim, PlaceIndex, Strength, own_strength
from stoa_gitops.model.resources import (
    AppliedRecord,
    DesiredState,
    Observed,
    PlanHints,
    Resource,
    SourceRef,
)
from stoa_gitops.model.routing import RoutePattern, Router, host_rank, segment_path
from stoa_gitops.planning.broken_scope import BrokenScope
from stoa_gitops.planning.live_routes import (
    desired_patterns,
    live_specs,
    patterns_of,
    policy_types,
    routes_of,
)

ENDED_PLACE: Final = "ends what its place's tenant does not consent to"
"""Begins the reason of a change; part of outputs."""

_PATH: Final = b'"path":"'
_HOSTS: Final = b'"hosts":["'
_NAMED: Final = re.compile(rb'"path":"/apis/([^/"]+)').findall
_PARAMETERS: Final = re.compile(rb'"path":"[^"{]*\{').search
_OWN_PARTS: Final = 3  # of `/apis/<tenant>`


@dataclass(frozen=True, slots=True)
class EndedPlaces:
    """Live routes that end, by API, and which message says why."""

    routes: Mapping[Key, frozenset[RoutePattern]] = field(default_factory=dict)
    messages: Mapping[Key, str] = field(default_factory=dict)


class OwnPlaces:
    """Whose a place is by the catalog alone: the most exact grant, or the `/apis/<tenant>/`.

    The same as `catalog.resolution.places` finds for documents.
    """

    def __init__(self, desired: DesiredState) -> None:
        self._desired = desired
        self._paths: dict[str, set[str]] = {}
        self._hosts: dict[str, set[str]] = {}
        for tenant, given in desired.rights.grants.tenants.items():
            for path in given.paths:
                self._paths.setdefault(segment_path(path), set()).add(tenant)
            for host in given.hosts:
                self._hosts.setdefault(host.lower(), set()).add(tenant)
        self._is_below_apis = any(path.startswith("/apis/") for path in self._paths)

    @cached_property
    def _tenants(self) -> frozenset[str]:
        """Those that have an API; most questions are answered without them."""
        return frozenset(key.tenant for key in self._desired.resources if key.kind == API)

    @cached_property
    def _names(self) -> frozenset[bytes]:
        return frozenset(tenant.encode() for tenant in self._tenants)

    def may_be_elsewhere(self, key: Key, raw: bytes) -> bool:
        """Whether an API may lie in a place of others, by its canonical bytes."""
        tenant = key.tenant.encode()
        own = raw.count(b"%s/apis/%s/" % (_PATH, tenant))
        is_outside = own < raw.count(_PATH)
        if not (self._paths or self._hosts):
            return is_outside and (
                # An escaped path may be spelled in another way than its tenant's name is.
                b"%" in raw
                or _PARAMETERS(raw) is not None
                or any(name != tenant for name in self._names.intersection(_NAMED(raw)))
            )
        return is_outside or self._is_below_apis or (bool(self._hosts) and _HOSTS in raw)

    def owners(self, tenant: str, pattern: RoutePattern) -> set[str]:
        """Return the others in whose places a route of a tenant lies."""
        found: set[str] = set()
        for path in (pattern.path, *places_met(pattern.path, self._paths, self._tenants)):
            owners = self._owners_of_path(path)
            if tenant not in owners:
                found |= owners
        for host in pattern.hosts:
            ranked = max(((host_rank(name, host), name) for name in self._hosts), default=(-1, ""))
            if ranked[0] >= 0 and tenant not in self._hosts[ranked[1]]:
                found |= self._hosts[ranked[1]]
        return found

    def _owners_of_path(self, path: str) -> set[str]:
        parts = path.split("/")
        for length in range(len(parts), 0, -1):
            above = "/".join(parts[:length]) or "/"
            if granted := self._paths.get(above):
                return granted
            if length == _OWN_PARTS and parts[1] == "apis" and parts[2] in self._tenants:
                return {parts[2]}
        return set()


def find_ended(
    router: Router,
    desired: DesiredState,
    managed: Mapping[Key, Observed],
    last: Mapping[Key, AppliedRecord],
    broken: BrokenScope,
) -> EndedPlaces:
    """Return which live routes end; `managed` and `last` are those of all keys."""
    # A Catalog document that cannot be read, or some other mistake, takes no consent back.
    if broken.everything or not desired.rights.grants.is_known:
        return EndedPlaces()
    live = [
        key
        for key, seen in managed.items()
        if key.kind == API and not _is_as_desired(key, seen, router, desired, managed, last)
    ]
    own = OwnPlaces(desired) if live else None
    live = [key for key in live if own and is_elsewhere(key, own, managed[key], last.get(key))]
    if own is None or not live:
        return EndedPlaces()
    placed = {
        key: {
            pattern: owners
            for pattern in set(patterns_of(live_specs(key, router, managed, last), router))
            if (owners := own.owners(key.tenant, pattern))
        }
        for key in live
    }
    holders = {owner for found in placed.values() for owners in found.values() for owner in owners}
    holders -= broken.tenants
    index = PlaceIndex(router)
    for key, resource in desired.resources.items():
        if key.kind == API and key.tenant in holders:
            for claim in _strong_claims(resource, router, desired.resources):
                index.add(claim)
    routes: dict[Key, frozenset[RoutePattern]] = {}
    messages: dict[Key, str] = {}
    for key, patterns in placed.items():
        taken: dict[RoutePattern, str] = {}
        for pattern, owners in patterns.items():
            victim = _robbed(key, pattern, owners, index)
            if victim is not None:
                taken[pattern] = f"{pattern.text} takes requests of {victim.label}"
        if taken:
            routes[key] = frozenset(taken)
            texts = "; ".join(taken[pattern] for pattern in sorted(taken, key=_text))
            messages[key] = f"{ENDED_PLACE}: {texts}"
    return EndedPlaces(routes, messages)


def _is_as_desired(
    key: Key,
    seen: Observed,
    router: Router,
    desired: DesiredState,
    managed: Mapping[Key, Observed],
    last: Mapping[Key, AppliedRecord],
) -> bool:
    """Whether an API's live routes are those of its document: those were validated already.

    A document that takes what nobody lets it take any more is broken, and is not desired.
    """
    resource, record = desired.resources.get(key), last.get(key)
    if resource is None or seen.spec.raw != resource.spec.raw:
        return False
    if record is not None and record.spec.raw != seen.spec.raw:
        return False
    return not router.policy_methods or policy_types(key, router, desired.resources) == (
        policy_types(key, router, last, managed)
    )


def may_exist(
    desired: DesiredState, objects: Iterable[Observed], last: Mapping[Key, AppliedRecord]
) -> bool:
    """Whether some live route lies in a place of another tenant, or might.

    Then a plan is made from scratch where routes or consents change.
    """
    own = OwnPlaces(desired)
    return any(
        seen.managed
        and seen.key.kind == API
        and is_elsewhere(seen.key, own, seen, last.get(seen.key))
        for seen in objects
    )


def is_elsewhere(key: Key, own: OwnPlaces, seen: Observed, record: AppliedRecord | None) -> bool:
    """Whether a live API may lie in a place of another tenant; cheap, for many are asked."""
    raw = seen.spec.raw
    if own.may_be_elsewhere(key, raw):
        return True
    return (
        record is not None and record.spec.raw != raw and own.may_be_elsewhere(key, record.spec.raw)
    )


def _text(pattern: RoutePattern) -> str:
    return pattern.text


def _strong_claims(
    resource: Resource, router: Router, resources: Mapping[Key, Resource]
) -> Iterator[Claim]:
    key = resource.key
    for pattern, hint in desired_patterns(resource, router, resources):
        strength = own_strength(key.tenant, pattern.path)
        if hint.is_granted:
            strength = Strength.GRANTED
        if strength >= Strength.OWN:
            label = f"{key.short} at {resource.source} ({pattern.text})"
            yield Claim(key.tenant, key, pattern, strength, delegates=hint.delegates, label=label)


def _robbed(key: Key, pattern: RoutePattern, owners: set[str], index: PlaceIndex) -> Claim | None:
    """Return a claim of a place's owner that loses requests to a live route.

    None where it loses none, or where a route of that tenant consents.
    """
    claim = Claim(key.tenant, key, pattern, is_live=True)
    found: dict[str, Claim] = {}
    consenting: set[str] = set()
    for victim in index.victims(claim):
        if victim.allows(claim):
            consenting.add(victim.owner)
        elif victim.owner in owners:
            found.setdefault(victim.owner, victim)
    return next((found[owner] for owner in sorted(found) if owner not in consenting), None)


def without_ended(
    wanted: Mapping[Key, Resource],
    managed: Mapping[Key, Observed],
    last: Mapping[Key, AppliedRecord],
    ended: EndedPlaces,
    router: Router,
) -> tuple[Mapping[Key, Resource], Mapping[Key, str]]:
    """Return what is wanted without routes that end, and the reasons of the APIs that lose some.

    The identical mapping where nothing ends. An API of which no route is left goes with its
    policies.
    """
    left: dict[Key, Resource] = {}
    gone: set[Key] = set()
    messages: dict[Key, str] = {}
    for key, patterns in ended.routes.items():
        seen = managed.get(key)
        if seen is None:
            continue
        messages[key] = ended.messages[key]
        record = last.get(key)
        spec = record.spec if record is not None else seen.spec
        policies = policy_types(key, router, last, managed)
        kept = [r for r in routes_of(spec) if router.read_with(r, policies) not in patterns]
        if kept:
            left[key] = _restored(key, {**spec.value, "routes": kept}, record)
        else:
            gone.add(key)
    if not messages:
        return wanted, messages
    remaining = {
        key: one for key, one in wanted.items() if key not in gone and key.parent not in gone
    }
    return {**remaining, **left}, messages


def _restored(key: Key, tree: JsonObject, record: AppliedRecord | None) -> Resource:
    revision = record.revision if record is not None else "an unknown revision"
    hints = PlanHints(protected=record.protected) if record is not None else PlanHints()
    return Resource(key, Spec.of(tree), SourceRef(f"(last applied at {revision})"), hints)
