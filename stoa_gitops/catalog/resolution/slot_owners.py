"""Finds which of the APIs at one path and host has a method first, in one step for each method.

Routes that ask for headers are apart: of two that may hold for one request the one that asks for
more is chosen, so only those that ask for as many can collide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from stoa_gitops.catalog.evaluation.definitions import Route
from stoa_gitops.catalog.resolution.resolved import ResolvedApi
from stoa_gitops.model.routing import headers_meet

_ANY: Final = " "
"""Stands for every route of a slot, whatever its methods; no method is written so."""


class SlotOwners:
    """Which API has a method of one slot first; by tenant."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[int, ResolvedApi]] = {}
        self._added: dict[tuple[str, str], tuple[int, ResolvedApi]] = {}
        self._asking: dict[tuple[str, int], _AskingRoutes] = {}
        self._count = 0

    def take(
        self, route: Route, api: ResolvedApi, added: Collection[str] = ()
    ) -> ResolvedApi | None:
        """Return the API of the first route before this one that shares a method with it.

        `added` are methods that the gateway adds to routes for a policy: it answers them itself, so
        two routes of one tenant may share these, but not with one that names them.
        """
        tenant, first = api.document.tenant, self._first
        if route.headers:
            asking = self._asking.setdefault((tenant, len(route.headers)), _AskingRoutes())
            return asking.take(route, api)
        # A route without methods listens on all of them, and is met by every other one.
        asked = (*route.methods, "") if route.methods else (_ANY,)
        met = [found for name in asked if (found := first.get((tenant, name))) is not None]
        others = [self._added.get((tenant, name)) for name in route.methods]
        others += [first.get((tenant, name)) for name in added if name not in route.methods]
        met += [found for found in others if found is not None and found[1] is not api]
        self._count += 1
        for name in added if route.methods else ():
            self._added.setdefault((tenant, name), (self._count, api))
        for name in (*(route.methods or ("",)), _ANY):
            first.setdefault((tenant, name), (self._count, api))
        return min(met, key=lambda found: found[0])[1] if met else None


class _Taken(NamedTuple):
    order: int
    route: Route
    api: ResolvedApi


class _AskingRoutes:
    """Routes of one tenant and slot that ask for as many headers.

    By the names that they ask for, and there by each name and value: whoever shares a name with a
    route can only meet it where a value is the same.
    """

    def __init__(self) -> None:
        self._count = 0
        self._all: dict[tuple[str, ...], list[_Taken]] = {}
        self._by_value: dict[tuple[tuple[str, ...], str, str], list[_Taken]] = {}

    def take(self, route: Route, api: ResolvedApi) -> ResolvedApi | None:
        """Return the API of the first route before this one that may get a request of it."""
        met = [
            found
            for names in self._all
            for found in self._candidates(names, route)
            if _share_a_method(found.route, route)
            and headers_meet(found.route.headers, route.headers)
        ]
        self._count += 1
        taken = _Taken(self._count, route, api)
        own = tuple(name for name, _ in route.headers)
        self._all.setdefault(own, []).append(taken)
        for name, values in route.headers:
            for value in values:
                self._by_value.setdefault((own, name, value), []).append(taken)
        return min(met, key=lambda found: found.order).api if met else None

    def _candidates(self, names: tuple[str, ...], route: Route) -> Iterable[_Taken]:
        """Return routes that ask for `names`, and all of them that may meet a route."""
        shared = [
            [found for value in values for found in self._by_value.get((names, name, value), ())]
            for name, values in route.headers
            if name in names
        ]
        return min(shared, key=len, default=self._all[names])


def _share_a_method(one: Route, other: Route) -> bool:
    if not one.methods or not other.methods:
        return True
    return not set(one.methods).isdisjoint(other.methods)
