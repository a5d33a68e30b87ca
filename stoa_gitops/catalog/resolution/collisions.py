"""What documents do to each other on one gateway, kept by the places and names that they take.

The later document of two, by path, is broken by it. A place is looked at again when who takes it changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from stoa_gitops.catalog.kinds.definitions import Route
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.finding_log import FindingLog, located
from stoa_gitops.catalog.resolution.gateway_support import (
    GatewaySupport,
    check_backends,
    check_needs,
    check_reserved,
)
from stoa_gitops.catalog.resolution.resolved import PlacedApi
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key

_ONE_NAME_SPACE: Final = ("gravitee", "webmethods", "apigee", "aws_apigateway")
"""Types that know no tenants: `<tenant>-<name>` is what people and tools see there. Kong's names have a dot, `acme.billing`."""

RouteSlot: TypeAlias = tuple[str, str]
"""A path and a host (empty for all) that routes listen on; or a name, with the path empty."""

Wrong: TypeAlias = tuple[Key, LocatedFinding]


class Collisions:
    """Who takes which path, host and name on the gateways of one environment.

    broken   APIs that cannot stand where they are
    """

    def __init__(
        self, gateways: Iterable[GatewayInstance], abilities: GatewaySupport | None
    ) -> None:
        self.broken: set[Key] = set()
        self.said = FindingLog()
        self._gateways = tuple(gateways)
        self._nesting = tuple(g for g in self._gateways if g.gateway_type == "gravitee")
        self._naming = tuple(g for g in self._gateways if g.gateway_type in _ONE_NAME_SPACE)
        self._abilities = {g.name: abilities.of(g) for g in self._gateways} if abilities else {}
        self._taken: dict[RouteSlot, tuple[Key, ...]] = {}
        self._below: dict[RouteSlot, set[str]] = {}
        self._wrong: dict[RouteSlot, tuple[Wrong, ...]] = {}
        self._marks: Counter[Key] = Counter()
        self._alone: set[Key] = set()

    @property
    def found(self) -> Iterator[LocatedFinding]:
        """Everything that is wrong."""
        for wrong in self._wrong.values():
            for _, item in wrong:
                yield item
        for items in self.said.found.values():
            yield from items

    def update(
        self, moved: Mapping[Key, PlacedApi | None], apis: Mapping[Key, PlacedApi]
    ) -> set[Key]:
        """Look again at what APIs take that moved; return those that broke or were mended by it."""
        spots: set[RouteSlot] = set()
        asked = set(moved)
        for key, before in moved.items():
            now = apis.get(key)
            old = set() if before is None else set(self._spots(before))
            new = set() if now is None else set(self._spots(now))
            for spot in old - new:
                self._leave(spot, key)
            for spot in new - old:
                self._take(spot, key)
            spots |= old | new
            self._check_alone(key, now)
        if self._nesting:
            spots |= {(low, host) for path, host in spots for low in self._lower(path, host)}
        for spot in spots:
            for key, _ in self._wrong.pop(spot, ()):
                self._marks[key] -= 1
                asked.add(key)
            wrong = tuple(self._check(spot, apis))
            if wrong:
                self._wrong[spot] = wrong
            for key, _ in wrong:
                self._marks[key] += 1
                asked.add(key)
        return {key for key in asked if self._judge(key)}

    def _judge(self, key: Key) -> bool:
        """Note whether an API is broken; whether that is another answer than before."""
        if not self._marks[key]:
            del self._marks[key]
        is_broken = key in self._marks or key in self._alone
        if is_broken == (key in self.broken):
            return False
        self.broken ^= {key}
        return True

    def _spots(self, api: PlacedApi) -> Iterator[RouteSlot]:
        for route in api.facts.routes:
            for host in route.hosts or ("",):
                yield route.path, host
        if self._naming:
            yield "", f"{api.facts.key.tenant}-{api.facts.key.name}"

    def _take(self, spot: RouteSlot, key: Key) -> None:
        others = self._taken.get(spot, ())
        self._taken[spot] = (*others, key)
        if self._nesting and not others:
            for above in _above(spot[0]):
                self._below.setdefault((above, spot[1]), set()).add(spot[0])

    def _leave(self, spot: RouteSlot, key: Key) -> None:
        others = tuple(other for other in self._taken[spot] if other != key)
        if others:
            self._taken[spot] = others
            return
        del self._taken[spot]
        if self._nesting:
            for above in _above(spot[0]):
                low = self._below[above, spot[1]]
                low.discard(spot[0])
                if not low:
                    del self._below[above, spot[1]]

    def _lower(self, path: str, host: str) -> set[str]:
        return self._below.get((path, host), set()) if path else set()

    def _check_alone(self, key: Key, api: PlacedApi | None) -> None:
        """Check what an API asks of its gateways, whoever else is there."""
        self.said.begin()
        self._alone.discard(key)
        for gateway in self._gateways if api is not None else ():
            if api is None or not api.is_on(gateway):
                continue
            is_reached, found = check_backends(gateway, api)
            if not is_reached:
                self._alone.add(key)
            abilities = self._abilities.get(gateway.name)
            if abilities is not None:
                taken = tuple(check_reserved(api, abilities))
                if taken:
                    self._alone.add(key)
                found = (*found, *taken, *check_needs(api, abilities))
            for item in found:
                self.said.add(item)
        self.said.end(key)

    def _check(self, spot: RouteSlot, apis: Mapping[Key, PlacedApi]) -> Iterator[Wrong]:
        here = [apis[key] for key in self._taken.get(spot, ())]
        here.sort(key=lambda api: api.document.path)
        if not spot[0]:
            for gateway in self._naming if len(here) > 1 else ():
                yield from _one_name(gateway, [api for api in here if api.is_on(gateway)])
            return
        if len(here) > 1 or (here and len(here[0].facts.routes) > 1):
            for gateway in self._gateways:
                yield from _one_route(gateway, spot, [api for api in here if api.is_on(gateway)])
        for gateway in self._nesting:
            yield from self._nested(gateway, spot, here, apis)

    def _nested(
        self,
        gateway: GatewayInstance,
        spot: RouteSlot,
        here: list[PlacedApi],
        apis: Mapping[Key, PlacedApi],
    ) -> Iterator[Wrong]:
        """Gravitee refuses a path that lies below another API's, whatever the methods."""
        path, host = spot
        for above in _above(path):
            owners = [apis[key] for key in self._taken.get((above, host), ())]
            for owner in owners:
                for api in here:
                    if owner is api or not api.is_on(gateway) or not owner.is_on(gateway):
                        continue
                    text = (
                        f"{path} on {gateway.name} lies below {above} of "
                        f"{owner.facts.key.short}, which Gravitee refuses"
                    )
                    hint = "choose paths that do not contain one another"
                    for route in _routes(api, spot):
                        yield _wrong(api, "route.nested", text, route, hint)


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")
    for length in range(1, len(parts)):
        yield "/".join(parts[:length]) or "/"


def _routes(api: PlacedApi, spot: RouteSlot) -> Iterator[Route]:
    path, host = spot
    for route in api.facts.routes:
        if route.path == path and host in (route.hosts or ("",)):
            yield route


def _one_route(gateway: GatewayInstance, spot: RouteSlot, here: list[PlacedApi]) -> Iterator[Wrong]:
    path, host = spot
    others: list[tuple[Route, PlacedApi]] = []
    for api in here:
        for route in _routes(api, spot):
            owner = next((owner for other, owner in others if _overlap(route, other)), None)
            if owner is not None:
                whose = "itself" if owner is api else owner.facts.key.short
                text = f"{host}{path} on {gateway.name} is taken by {whose} ({owner.facts.source})"
                hint = "give one of them another path, host or other methods"
                yield _wrong(api, "route.collision", text, route, hint)
            others.append((route, api))


def _overlap(one: Route, two: Route) -> bool:
    return not one.methods or not two.methods or bool(set(one.methods) & set(two.methods))


def _wrong(api: PlacedApi, code: str, text: str, route: Route, hint: str) -> Wrong:
    at = (*route.pointer, "path") if route.pointer else ("metadata", "name")
    return api.facts.key, located(api.document, code, text, at, hint, lowered=api.lowered)


def _one_name(gateway: GatewayInstance, here: list[PlacedApi]) -> Iterator[Wrong]:
    for api in here[1:]:
        key, owner = api.facts.key, here[0].facts
        text = (
            f"{key.short} and {owner.key.short} have one name on {gateway.name}, "
            f"{key.tenant}-{key.name} ({owner.source})"
        )
        at, hint = ("metadata", "name"), "rename one of them"
        yield key, located(api.document, "name.collision", text, at, hint, lowered=api.lowered)
