"""Finds APIs that cannot be on one gateway together: same route, same name, nested paths.

The index maps each slot (path and host, or name) to the APIs that take it; a slot is checked again
when an API that takes it changed. Of two APIs of one tenant the later one, by path of its document,
is broken. Between tenants no order of documents decides: `places` for routes, and for names a plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from stoa_gitops.catalog.evaluation.definitions import Route
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.finding_log import FindingLog, located
from stoa_gitops.catalog.resolution.gateway_support import (
    GatewaySupport,
    check_backends,
    check_capabilities,
    check_reserved,
)
from stoa_gitops.catalog.resolution.places import PlaceChecks
from stoa_gitops.catalog.resolution.resolved import ResolvedApi
from stoa_gitops.catalog.resolution.slot_owners import SlotOwners
from stoa_gitops.model.catalog import SAME_NAME
from stoa_gitops.model.gateway_types import GatewayTypeInfo
from stoa_gitops.model.grants import NO_GRANTS, Grants
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.path_parameters import without_names
from stoa_gitops.model.routing import headers_text

RouteSlot: TypeAlias = tuple[str, str]
"""(path, host) that a route listens on, host empty for all; or ("", name) in one name space.

Parameters of paths have no names here.
"""

_FEW: Final = 16
"""Routes of an API that are looked through quicker than a table is made."""

Conflict: TypeAlias = tuple[Key, LocatedFinding]


class Collisions:
    """The slots that APIs take on the gateways of one environment, and the conflicts about them.

    broken   APIs that are not written because of a conflict, or of a gateway that refuses them
    """

    def __init__(
        self,
        gateways: Iterable[GatewayInstance],
        gateway_type: Callable[[str], GatewayTypeInfo | None],
        support: GatewaySupport | None,
        grants: Grants = NO_GRANTS,
    ) -> None:
        self.broken: set[Key] = set()
        self.finding_log = FindingLog()
        self._gateways = tuple(gateways)
        infos = [(g, gateway_type(g.gateway_type)) for g in self._gateways]
        self._without_nesting = tuple(
            (gateway, info.label)
            for gateway, info in infos
            if info is not None and not info.allows_nested_paths
        )
        self._with_one_name_space = tuple(
            gateway for gateway, info in infos if info is not None and info.has_one_name_space
        )
        self._support = {g.name: support.of(g) for g in self._gateways} if support else {}
        unnested = {gateway.name: label for gateway, label in self._without_nesting}
        self._places = PlaceChecks(self._gateways, self._support, grants, unnested)
        # APIs by slot, in the order in which they came; and, for gateways that refuse nested paths,
        # the paths below each path, so that an edit does not search all routes.
        self._taken: dict[RouteSlot, tuple[Key, ...]] = {}
        self._below: dict[RouteSlot, set[str]] = {}
        self._conflicts: dict[RouteSlot, tuple[Conflict, ...]] = {}
        self._same_names: dict[RouteSlot, tuple[LocatedFinding, ...]] = {}
        # Number of slots about which an API has a conflict: it is valid again at 0.
        self._conflict_counts: Counter[Key] = Counter()
        self._invalid_alone: set[Key] = set()

    @property
    def found(self) -> Iterator[LocatedFinding]:
        """Everything that is wrong."""
        for wrong in self._conflicts.values():
            for _, item in wrong:
                yield item
        for found in self._same_names.values():
            yield from found
        for items in self.finding_log.found.values():
            yield from items
        yield from self._places.found

    def update(
        self,
        changed: Mapping[Key, ResolvedApi | None],
        apis: Mapping[Key, ResolvedApi],
        tenants: frozenset[str] = frozenset(),
    ) -> set[Key]:
        """Check the slots of APIs that changed; return the APIs whose validity changed.

        `changed` are the APIs as they were before (None for new ones), `apis` all as they are now,
        `tenants` those that have a folder.
        """
        slots: set[RouteSlot] = set()
        affected = set(changed)
        for key, before in changed.items():
            now = apis.get(key)
            old = set() if before is None else set(self._slots_of(before))
            new = set() if now is None else set(self._slots_of(now))
            # Only the difference is moved: most edits of an API leave its routes as they are.
            for slot in old - new:
                self._leave(slot, key)
            for slot in new - old:
                self._take(slot, key)
            slots |= old | new
            self._check_requirements(key, now)
        if self._without_nesting:
            # A path that came or went may be the one that others lie below.
            slots |= {(low, host) for path, host in slots for low in self._lower(path, host)}
        routes_of = _RoutesBySlot()
        for slot in slots:
            if not slot[0]:
                self._check_name(slot, apis)
                continue
            for key, _ in self._conflicts.pop(slot, ()):
                self._conflict_counts[key] -= 1
                affected.add(key)
            wrong = tuple(self._check(slot, apis, routes_of))
            if wrong:
                self._conflicts[slot] = wrong
            for key, _ in wrong:
                self._conflict_counts[key] += 1
                affected.add(key)
        affected |= self._places.update(changed.keys(), apis, tenants)
        return {key for key in affected if self._update_validity(key)}

    def _update_validity(self, key: Key) -> bool:
        """Record whether an API is broken; return whether that differs from before."""
        # A Counter keeps zeros; membership must mean a conflict.
        if not self._conflict_counts[key]:
            del self._conflict_counts[key]
        is_broken = (
            key in self._conflict_counts or key in self._invalid_alone or key in self._places.held
        )
        if is_broken == (key in self.broken):
            return False
        self.broken ^= {key}
        return True

    def _slots_of(self, api: ResolvedApi) -> Iterator[RouteSlot]:
        for route in api.definition.routes:
            # A route without hosts listens on all of them: the empty text stands for these.
            for host in route.hosts or ("",):
                yield without_names(route.path), host
        if self._with_one_name_space:
            yield "", f"{api.definition.key.tenant}-{api.definition.key.name}"

    def _take(self, slot: RouteSlot, key: Key) -> None:
        others = self._taken.get(slot, ())
        self._taken[slot] = (*others, key)
        if self._without_nesting and not others:
            for above in _above(slot[0]):
                self._below.setdefault((above, slot[1]), set()).add(slot[0])

    def _leave(self, slot: RouteSlot, key: Key) -> None:
        others = tuple(other for other in self._taken[slot] if other != key)
        if others:
            self._taken[slot] = others
            return
        del self._taken[slot]
        if self._without_nesting:
            for above in _above(slot[0]):
                low = self._below[above, slot[1]]
                low.discard(slot[0])
                if not low:
                    del self._below[above, slot[1]]

    def _lower(self, path: str, host: str) -> set[str]:
        return self._below.get((path, host), set()) if path else set()

    def _check_requirements(self, key: Key, api: ResolvedApi | None) -> None:
        """Check what an API needs of its gateways, regardless of other APIs."""
        self.finding_log.begin()
        self._invalid_alone.discard(key)
        for gateway in self._gateways if api is not None else ():
            if api is None or not api.is_on(gateway):
                continue
            is_reached, found = check_backends(gateway, api)
            if not is_reached:
                self._invalid_alone.add(key)
            support = self._support.get(gateway.name)
            if support is not None:
                taken = tuple(check_reserved(api, support))
                if taken:
                    self._invalid_alone.add(key)
                found = (*found, *taken, *check_capabilities(api, support))
            for item in found:
                self.finding_log.add(item)
        self.finding_log.end(key)

    def _check_name(self, slot: RouteSlot, apis: Mapping[Key, ResolvedApi]) -> None:
        """Find APIs with one name; they are of different tenants, so neither is broken by it."""
        self._same_names.pop(slot, None)
        # By key, so that the result does not depend on the order of reading.
        here = [apis[key] for key in sorted(self._taken.get(slot, ()))]
        found: list[LocatedFinding] = []
        for gateway in self._with_one_name_space if len(here) > 1 else ():
            found += _one_name(gateway, [api for api in here if api.is_on(gateway)])
        if found:
            self._same_names[slot] = tuple(found)

    def _check(
        self, slot: RouteSlot, apis: Mapping[Key, ResolvedApi], routes_of: _RoutesBySlot
    ) -> Iterator[Conflict]:
        here = [apis[key] for key in self._taken.get(slot, ())]
        # By path, so that the result does not depend on the order of reading.
        here.sort(key=lambda api: api.document.path)
        # One API alone can collide too: two of its routes with the same path and host.
        if len(here) > 1 or (here and len(here[0].definition.routes) > 1):
            for gateway in self._gateways:
                there = [api for api in here if api.is_on(gateway)]
                support = self._support.get(gateway.name)
                added = support.router.policy_methods if support is not None else {}
                yield from _one_route(gateway, slot, there, routes_of, added)
        for gateway, label in self._without_nesting:
            yield from self._nested(gateway, label, slot, here, apis, routes_of)

    def _nested(
        self,
        gateway: GatewayInstance,
        label: str,
        slot: RouteSlot,
        here: list[ResolvedApi],
        apis: Mapping[Key, ResolvedApi],
        routes_of: _RoutesBySlot,
    ) -> Iterator[Conflict]:
        """Yield paths that lie below another API's, whatever the methods."""
        path, host = slot
        for above in _above(path):
            owners = [apis[key] for key in self._taken.get((above, host), ())]
            for owner in owners:
                for api in here:
                    if owner is api or not api.is_on(gateway) or not owner.is_on(gateway):
                        continue
                    # Between tenants the gateway's inventory decides: `places`.
                    if owner.document.tenant != api.document.tenant:
                        continue
                    text = (
                        f"{path} on {gateway.name} lies below {above} of "
                        f"{owner.definition.key.short}, which {label} refuses"
                    )
                    hint = "choose paths that do not contain one another"
                    for route in routes_of(api, slot):
                        yield _conflict(api, "route.nested", text, route, hint)


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")
    for length in range(1, len(parts)):
        yield "/".join(parts[:length]) or "/"


class _RoutesBySlot:
    """The routes of APIs at a slot; a table for each API with many, for one update."""

    def __init__(self) -> None:
        self._tables: dict[Key, dict[RouteSlot, list[Route]]] = {}

    def __call__(self, api: ResolvedApi, slot: RouteSlot) -> Iterable[Route]:
        path, host = slot
        routes, key = api.definition.routes, api.definition.key
        if len(routes) <= _FEW:
            return [
                r for r in routes if without_names(r.path) == path and host in (r.hosts or ("",))
            ]
        if key not in self._tables:
            self._tables[key] = _by_slot(routes)
        return self._tables[key].get(slot, ())


def _by_slot(routes: Iterable[Route]) -> dict[RouteSlot, list[Route]]:
    found: dict[RouteSlot, list[Route]] = {}
    for route in routes:
        for host in dict.fromkeys(route.hosts or ("",)):
            found.setdefault((without_names(route.path), host), []).append(route)
    return found


def _one_route(
    gateway: GatewayInstance,
    slot: RouteSlot,
    here: list[ResolvedApi],
    routes_of: _RoutesBySlot,
    policy_methods: Mapping[str, tuple[str, ...]],
) -> Iterator[Conflict]:
    host = slot[1]
    owners = SlotOwners()
    for api in here:
        added = [m for name, more in policy_methods.items() if name in api.policies for m in more]
        for route in routes_of(api, slot):
            # The first route keeps the slot, and each later one is reported once.
            # Between tenants the gateway's inventory decides: `places`.
            owner = owners.take(route, api, added)
            if owner is None:
                continue
            whose = "itself" if owner is api else owner.definition.key.short
            source = owner.definition.source
            asked = headers_text(route.headers)
            text = f"{host}{route.path}{asked} on {gateway.name} is taken by {whose} ({source})"
            hint = "give one of them another path, host or other methods"
            if asked:
                hint += ", or more headers than the other"
            yield _conflict(api, "route.collision", text, route, hint)


def _conflict(api: ResolvedApi, code: str, text: str, route: Route, hint: str) -> Conflict:
    at = (*route.pointer, "path") if route.pointer else ("metadata", "name")
    return api.definition.key, located(api.document, code, text, at, hint, evaluated=api.evaluated)


def _one_name(gateway: GatewayInstance, here: list[ResolvedApi]) -> Iterator[LocatedFinding]:
    for api in here:
        other = next((one for one in here if one is not api), None)
        if other is None:
            return
        key, owner = api.definition.key, other.definition
        text = (
            f"{key.short} and {owner.key.short} have one name on {gateway.name}, "
            f"{key.tenant}-{key.name} ({owner.source})"
        )
        at, hint = ("metadata", "name"), "who is on the gateway already keeps it: rename the other"
        yield located(api.document, SAME_NAME, text, at, hint, evaluated=api.evaluated)
