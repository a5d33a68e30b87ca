"""Finds routes that lie in places of other tenants, as far as the catalog shows it.

The strongest claim is what the operator grants, the next is the `/apis/<tenant>/` of each tenant;
a route in a place of another tenant is an error, unless that tenant's route consents. Everything
else depends on who is on the gateway already, which only a plan knows: two tenants that claim the
same requests are both told, and the plan decides (`planning.places`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from stoa_gitops.catalog.evaluation.definitions import Route
from stoa_gitops.catalog.findings import OtherPlace
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.finding_log import located
from stoa_gitops.catalog.resolution.gateway_support import GatewayCapabilities
from stoa_gitops.catalog.resolution.resolved import ResolvedApi
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.catalog import CONTESTED
from stoa_gitops.model.claim_book import ClaimBook
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.grants import Grants
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.path_parameters import has_parameters, lies_at_or_below, places_met
from stoa_gitops.model.place_index import Claim, Strength, may_share, own_strength
from stoa_gitops.model.routing import SEGMENTS, UNNESTED, RoutePattern, host_rank, segment_path

_CATALOG: Final = "catalog.yaml"
_OWN_PARTS: Final = 3  # of `/apis/<tenant>`


class Place(NamedTuple):
    """A place in the catalog's words: `/search`, `/apis/acme/`, a host; where it is granted."""

    name: str
    owners: tuple[str, ...]
    granted_at: Pointer = ()


class PlaceMap:
    """Which place belongs to which tenant by the catalog alone."""

    def __init__(self, grants: Grants) -> None:
        self._paths: dict[str, list[tuple[str, Pointer]]] = {}
        self._hosts: dict[str, list[tuple[str, Pointer]]] = {}
        for tenant in sorted(grants.tenants):
            given = grants.tenants[tenant]
            for index, path in enumerate(given.paths):
                at: Pointer = ("spec", "tenants", tenant, "paths", index)
                self._paths.setdefault(segment_path(path), []).append((tenant, at))
            for index, host in enumerate(given.hosts):
                at = ("spec", "tenants", tenant, "hosts", index)
                self._hosts.setdefault(host.lower(), []).append((tenant, at))
        self.has_grants = bool(self._paths or self._hosts)
        # Nothing below is anybody's place by itself: a path may have hundreds of segments.
        self._deepest = max((path.count("/") + 1 for path in self._paths), default=_OWN_PARTS)
        self._deepest = max(self._deepest, _OWN_PARTS)

    def is_granted(self, tenant: str, route: Route) -> bool:
        """Whether the operator gives the place of a route to a tenant."""
        if not self.has_grants:
            return False
        path = self._path_place(segment_path(route.path), ())
        if path is not None and path.granted_at and tenant in path.owners:
            return True
        hosts = [self._host_place(host) for host in route.hosts]
        return bool(hosts) and all(host is not None and tenant in host.owners for host in hosts)

    def places_of_others(
        self, tenant: str, route: Route, tenants: Collection[str]
    ) -> Iterator[Place]:
        """Yield the places of other tenants in which a route lies; by parameters it may be many."""
        # Nearly all routes lie in the place that every tenant has.
        if not self.has_grants and route.path.startswith(f"/apis/{tenant}/"):
            return
        path = segment_path(route.path)
        place = self._path_place(path, tenants)
        if place is not None and tenant not in place.owners:
            yield place
        for met in places_met(path, self._paths, tenants) if has_parameters(path) else ():
            # All of them are below the place in which the whole route lies.
            place = self._path_place(met, tenants)
            if place is not None and tenant not in place.owners:
                yield place
        for host in route.hosts if self._hosts else ():
            place = self._host_place(host)
            if place is not None and tenant not in place.owners:
                yield place

    def _path_place(self, path: str, tenants: Collection[str]) -> Place | None:
        """Return the most exact place that a path lies in; a grant before a tenant's own."""
        parts = path.split("/", self._deepest)[: self._deepest]
        for length in range(len(parts), 0, -1):
            above = "/".join(parts[:length]) or "/"
            granted = self._paths.get(above)
            if granted:
                return Place(above, tuple(name for name, _ in granted), granted[0][1])
            if length == _OWN_PARTS and parts[1] == "apis" and parts[2] in tenants:
                return Place(f"{above}/", (parts[2],))
        return None

    def _host_place(self, host: str) -> Place | None:
        rank, name = max(((host_rank(name, host), name) for name in self._hosts), default=(-1, ""))
        if rank < 0:
            return None
        granted = self._hosts[name]
        return Place(name, tuple(tenant for tenant, _ in granted), granted[0][1])


class PlaceChecks:
    """The places that the APIs of one environment take, updated API by API.

    held      APIs that lie in a place of another tenant
    unnested  gateways that refuse a path below another one, each with the vendor's name
    """

    def __init__(
        self,
        gateways: Collection[GatewayInstance],
        support: Mapping[str, GatewayCapabilities],
        grants: Grants,
        unnested: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.held: set[Key] = set()
        self._map = PlaceMap(grants)
        # With an unreadable Catalog document nobody knows what is granted.
        self._is_known = grants.is_known
        self._books = {
            gateway.name: _GatewayClaims(
                gateway, support.get(gateway.name), self._map, unnested.get(gateway.name, "")
            )
            for gateway in gateways
        }
        self._tenants: frozenset[str] = frozenset()
        self._found: dict[Key, tuple[LocatedFinding, ...]] = {}
        # APIs with a route below `/apis/` that is not in their own place.
        self._strangers: set[Key] = set()
        self._consenting: dict[Key, ResolvedApi] = {}
        # By tenant, made for an update with findings.
        self._routes_of: dict[str, list[tuple[ResolvedApi, Route, RoutePattern]]] = {}

    @property
    def found(self) -> Iterator[LocatedFinding]:
        """Everything that is wrong."""
        for items in self._found.values():
            yield from items
        for book in self._books.values():
            yield from book.found

    def update(
        self,
        changed: Collection[Key],
        apis: Mapping[Key, ResolvedApi],
        tenants: frozenset[str],
    ) -> set[Key]:
        """Check APIs that changed, and others that depend on them; return those held otherwise."""
        again = set(changed)
        has_consent_changed = self._update_consent(changed, apis)
        if has_consent_changed or tenants != self._tenants:
            again |= self._strangers
        self._tenants = tenants
        self._routes_of = {}
        before = self.held & again
        for key in again:
            self._check(key, apis.get(key), apis)
        for book in self._books.values():
            book.update(again, apis, self.held)
        return before ^ (self.held & again)

    def _update_consent(self, changed: Iterable[Key], apis: Mapping[Key, ResolvedApi]) -> bool:
        """Record which APIs consent to others; return whether that may have changed."""
        has_changed = False
        for key in changed:
            has_changed |= self._consenting.pop(key, None) is not None
            api = apis.get(key)
            if api is not None and any(route.delegates for route in api.definition.routes):
                self._consenting[key] = api
                has_changed = True
        return has_changed

    def _check(self, key: Key, api: ResolvedApi | None, apis: Mapping[Key, ResolvedApi]) -> None:
        self.held.discard(key)
        self._found.pop(key, None)
        self._strangers.discard(key)
        if api is None or not self._is_known:
            return
        found = []
        own = f"/apis/{key.tenant}/"
        for route in api.definition.routes:
            if not route.path.startswith(own):
                self._strangers.add(key)
            for place in self._map.places_of_others(key.tenant, route, self._tenants):
                self._strangers.add(key)
                if not self._is_allowed(key, route, place):
                    found.append(_held(api, route, place, self._holder(key, route, place, apis)))
                    break
        if found:
            self.held.add(key)
            self._found[key] = tuple(found)

    def _is_allowed(self, key: Key, route: Route, place: Place) -> bool:
        """Whether a route of the place's owner above this one consents."""
        return any(
            _allows(other, key) and _is_below(route.path, other.path)
            for owner, api in self._consenting.items()
            if owner.tenant in place.owners
            for other in api.definition.routes
        )

    def _holder(
        self, key: Key, route: Route, place: Place, apis: Mapping[Key, ResolvedApi]
    ) -> tuple[ResolvedApi, Route] | None:
        """Return a route of the owner that the other would take requests from, if there is one."""
        pattern = _pattern(route)
        for owner in place.owners:
            if owner not in self._routes_of:
                # Sorted, so that the same one is named whatever the order of reading.
                named = sorted(other for other in apis if other.tenant == owner)
                routes = [(apis[k], one) for k in named for one in apis[k].definition.routes]
                self._routes_of[owner] = [(api, one, _pattern(one)) for api, one in routes]
            for api, own, its in self._routes_of[owner]:
                if api.definition.key != key and SEGMENTS.takes(pattern, its):
                    return api, own
        return None


def _pattern(route: Route) -> RoutePattern:
    return SEGMENTS.read(route.matched)


def _allows(route: Route, other: Key) -> bool:
    return may_share(route.delegates, other)


def _is_below(path: str, above: str) -> bool:
    return lies_at_or_below(segment_path(path), segment_path(above))


def _at(route: Route) -> Pointer:
    return (*route.pointer, "path") if route.pointer else ("metadata", "name")


def _other_place(api: ResolvedApi, route: Route) -> OtherPlace:
    return OtherPlace(api.document.path, api.document.parsed.index, _at(route))


def _held(
    api: ResolvedApi, route: Route, place: Place, holder: tuple[ResolvedApi, Route] | None
) -> LocatedFinding:
    owners = " and ".join(place.owners)
    text = f"{','.join(route.hosts)}{route.path} lies in {place.name}, which is {owners}'s"
    other: OtherPlace | None = None
    if holder is not None:
        other = _other_place(*holder)
        text += f", and would receive requests of {holder[0].definition.key.short}"
    elif place.granted_at:
        other = OtherPlace(_CATALOG, 0, place.granted_at)
    hint = (
        f"choose another path, or let {owners} write `delegates: [{api.document.tenant}]` at its"
        " route; the operator gives places in catalog.yaml, spec.tenants"
    )
    return located(
        api.document, "route.held", text, _at(route), hint, evaluated=api.evaluated, other=other
    )


class _GatewayClaims:
    """Claims of tenants on one gateway that meet, whoever is there already."""

    def __init__(
        self,
        gateway: GatewayInstance,
        support: GatewayCapabilities | None,
        places: PlaceMap,
        unnested: str,
    ) -> None:
        self._gateway = gateway
        self._unnested = unnested
        self._router = support.router if support is not None else SEGMENTS
        if unnested:
            self._router = UNNESTED
        self._book = ClaimBook(self._router)
        self._map = places
        self._routes: dict[Key, tuple[ResolvedApi, dict[str, Route]]] = {}

    @property
    def found(self) -> Iterator[LocatedFinding]:
        for faults in self._book.faults.values():
            for taker, victim, is_shared in faults:
                yield self._finding(taker, victim, is_shared=is_shared)
                if is_shared:
                    yield self._finding(victim, taker, is_shared=True)

    def update(
        self, changed: Collection[Key], apis: Mapping[Key, ResolvedApi], held: Collection[Key]
    ) -> None:
        """Find the claims of some APIs anew."""
        moved: list[Claim] = []
        again: set[Key] = set()
        for key in changed:
            api = apis.get(key)
            is_here = api is not None and key not in held and api.is_on(self._gateway)
            claims = dict(self._claims(api)) if is_here and api is not None else {}
            # Nearly all APIs: in their own places they meet nobody.
            if not claims and key not in self._routes:
                continue
            again.add(key)
            moved += self._book.replace(key, claims)
            self._routes.pop(key, None)
            if claims and api is not None:
                self._routes[key] = api, {claim.label: route for claim, route in claims.items()}
        if again:
            self._book.check(again | self._book.affected(moved))

    def _claims(self, api: ResolvedApi) -> Iterator[tuple[Claim, Route]]:
        key = api.definition.key
        # In its own place a tenant meets others only where they are granted something there, or
        # where a gateway does not go by the path first.
        is_alone = not self._map.has_grants and not self._router.reaches_below
        for index, route in enumerate(api.definition.routes):
            if is_alone and not route.delegates and route.path.startswith(f"/apis/{key.tenant}/"):
                continue
            pattern = self._router.read_with(route.matched, api.policies)
            strength = own_strength(key.tenant, pattern.path)
            if self._map.is_granted(key.tenant, route):
                strength = Strength.GRANTED
            claim = Claim(
                key.tenant, key, pattern, strength, delegates=route.delegates, label=str(index)
            )
            yield claim, route

    def _finding(self, claim: Claim, other: Claim, *, is_shared: bool) -> LocatedFinding:
        assert claim.key is not None
        assert other.key is not None
        api, routes = self._routes[claim.key]
        there, others = self._routes[other.key]
        route, its = routes[claim.label], others[other.label]
        text = (
            f"{claim.pattern.text} on {self._gateway.name} and {other.pattern.text} of"
            f" {other.key.short} would receive the same requests"
        )
        if self._unnested and claim.pattern.path != other.pattern.path:
            text = (
                f"{claim.pattern.text} on {self._gateway.name} and {other.pattern.text} of"
                f" {other.key.short} lie one below the other, which {self._unnested} refuses"
            )
        hint = (
            "who is on the gateway already keeps them, and of two newcomers neither gets them:"
            " choose another path, or let the one that is there write `delegates` at its route"
        )
        return located(
            api.document,
            CONTESTED,
            text,
            _at(route),
            hint,
            evaluated=api.evaluated,
            severity=Severity.ERROR if is_shared else Severity.WARNING,
            other=_other_place(there, its),
        )
