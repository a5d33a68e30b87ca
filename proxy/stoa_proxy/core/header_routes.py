"""Selects among the routes of one prefix by headers of a request: by lookup, not one by one.

A route asks for a header with one of some values. What it asks for holds if the request has that
header exactly once, and its whole value is one of them, whatever the case of letters. A header that
comes twice, a list, and a value beyond ASCII are none of them, so that no two readers of a request
can see different values. Names are the same with `_` and `-`, as they are to upstreams like CGI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import NamedTuple, Protocol

from stoa_proxy.core.model import HeaderValues, Route
from stoa_proxy.core.persistent_map import compact_items, edit_item
from stoa_proxy.http.heads import Headers

Routes = tuple[Route, ...]
# Of one route: each of its combinations of values is an entry of a table.
MAX_HEADERS = 8
MAX_COMBINATIONS = 256
# A change of one of 100,000 routes of a path took 24 ms with a dict that is copied, and takes 1 to
# 3 ms with parts of one; for few routes a dict is smaller.
_FEW = 64
# Between the values of a combination: no header holds it.
_SEPARATOR = "\n"


class Asked(Protocol):
    """What is asked of a request: its sanitised headers, and their names in lower case."""

    @property
    def headers(self) -> Headers:
        """Return the headers."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the names."""
        ...


class Shape(NamedTuple):
    """The routes that ask for the same headers, `names`, by each combination of values.

    The values of a combination are one text, joined by _SEPARATOR.
    """

    names: tuple[str, ...]
    routes: Mapping[str, Routes]


@dataclass(frozen=True, slots=True)
class HeaderRoutes:
    """The routes of one prefix and host.

    `plain` ask for no header, sorted by id; `shapes` are the others: those that ask for most
    headers first. `names` are all that are asked for.
    """

    plain: Routes = ()
    shapes: tuple[Shape, ...] = ()
    names: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Route]:
        """Yield each route once."""
        yield from self.plain
        for shape in self.shapes:
            lists = shape.routes.values()
            yield from {route.id: route for routes in lists for route in routes}.values()

    def find(self, head: Asked | None) -> Routes:
        """Return the routes for a request, those that ask for most headers first.

        Without a head those that ask for none.
        """
        if head is None:
            return self.plain
        sent = self._values(head)
        if not sent:
            return self.plain
        found: list[Routes] = []
        for names, routes in self.shapes:
            # The empty text, which is no value, where a header is not there.
            some = routes.get(_SEPARATOR.join([sent.get(name, "") for name in names]))
            if some is not None:
                found.append(some)
        if len(found) < 2:
            return found[0] + self.plain if found else self.plain
        return tuple(sorted(chain.from_iterable(found), key=_rank)) + self.plain

    def _values(self, head: Asked) -> dict[str, str]:
        """Return the values of the headers that are asked for; empty for one that has none."""
        found: dict[str, str] = {}
        for key, pair in zip(head.keys, head.headers, strict=True):
            name = key.replace("_", "-")
            if name in self.names:
                value = pair[1]
                found[name] = "" if name in found or not value.isascii() else value.lower()
        return found

    def rivals(self, route: Route) -> Iterator[Route]:
        """Yield the routes that ask for as many headers, and may hold for the same request."""
        if not route.headers:
            yield from self.plain
            return
        names = tuple(name for name, _ in route.headers)
        for shape in self.shapes:
            if shape.names == names:
                for values in _combinations(route):
                    yield from shape.routes.get(values, ())
            elif len(shape.names) == len(names):
                for routes in shape.routes.values():
                    yield from (one for one in routes if can_hold_together(route, one))

    def with_route(self, route: Route) -> HeaderRoutes:
        """Return the same with a route that is not among them."""
        if not route.headers:
            return replace(self, plain=_sorted((*self.plain, route)))
        names, routes = self._shape_of(route)
        for values in _combinations(route):
            routes = _with_item(routes, values, _sorted((*routes.get(values, ()), route)))
        return self.with_shape(names, routes)

    def without_route(self, route: Route) -> HeaderRoutes:
        """Return the same without a route."""
        if not route.headers:
            return replace(self, plain=_without(self.plain, route))
        names, routes = self._shape_of(route)
        for values in _combinations(route):
            routes = _with_item(routes, values, _without(routes.get(values, ()), route))
        return self.with_shape(names, routes)

    def _shape_of(self, route: Route) -> Shape:
        names = tuple(name for name, _ in route.headers)
        known = (shape for shape in self.shapes if shape.names == names)
        return next(known, None) or Shape(names, {})

    def with_shape(self, names: tuple[str, ...], routes: Mapping[str, Routes]) -> HeaderRoutes:
        """Return the same with other routes that ask for these headers; none where it is empty."""
        shapes = [shape for shape in self.shapes if shape.names != names]
        if routes:
            shapes.append(Shape(names, routes))
        shapes.sort(key=lambda shape: (-len(shape.names), shape.names))
        asked = frozenset(name for shape in shapes for name in shape.names)
        return HeaderRoutes(self.plain, tuple(shapes), asked)


def make_header_routes(routes: Routes) -> HeaderRoutes:
    """Return many routes at once."""
    plain = tuple(route for route in routes if not route.headers)
    found: dict[tuple[str, ...], dict[str, Routes]] = {}
    for route in routes:
        if route.headers:
            shape = found.setdefault(tuple(name for name, _ in route.headers), {})
            for values in _combinations(route):
                shape[values] = _sorted((*shape.get(values, ()), route))
    made = HeaderRoutes(_sorted(plain))
    for names, shape in found.items():
        made = made.with_shape(names, compact_items(shape, _FEW))
    return made


def can_hold_together(one: Route, other: Route) -> bool:
    """Whether some request has the headers that both routes ask for."""
    theirs = dict(other.headers)
    return all(not set(values).isdisjoint(theirs.get(name, values)) for name, values in one.headers)


def count_combinations(headers: HeaderValues) -> int:
    """Return how many combinations of values a route has that asks for these headers."""
    count = 1
    for _, values in headers:
        count *= len(values)
    return count


@dataclass(frozen=True, slots=True)
class HeaderHosts:
    """The routes of one prefix, of which some ask for headers: by exact host, `*.suffix` or ``."""

    hosts: Mapping[str, HeaderRoutes]

    def find(self, host: str, head: Asked | None) -> Routes:
        """Return the routes of the most exact host of those that hold for a request."""
        for name in _names_for(host):
            routes = self.hosts.get(name)
            found = routes.find(head) if routes is not None else ()
            if found:
                return found
        return ()

    @property
    def has_headers(self) -> bool:
        """Whether there is a route that asks for a header."""
        return any(routes.shapes for routes in self.hosts.values())

    def by_host(self) -> dict[str, Routes]:
        """Return all routes by host."""
        return {host: tuple(routes) for host, routes in self.hosts.items()}

    def edited(self, route: Route, *, add: bool) -> HeaderHosts:
        """Return the same with a route added or removed."""
        hosts = dict(self.hosts)
        for host in dict.fromkeys(route.hosts or ("",)):
            routes = hosts.pop(host, HeaderRoutes()).without_route(route)
            if add:
                routes = routes.with_route(route)
            if routes.plain or routes.shapes:
                hosts[host] = routes
        return HeaderHosts(hosts)


def _names_for(host: str) -> Iterator[str]:
    """Yield the names of hosts that a host has, the most exact first; `` is for all."""
    if host:
        yield host
    rest = host
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    yield ""


def _combinations(route: Route) -> Iterator[str]:
    return map(_SEPARATOR.join, product(*(values for _, values in route.headers)))


def _with_item(routes: Mapping[str, Routes], values: str, some: Routes) -> Mapping[str, Routes]:
    """Return a mapping in which a combination has these routes, or is not there without any."""
    return edit_item(routes, values, some or None, _FEW)


def _rank(route: Route) -> tuple[int, str]:
    return -len(route.headers), route.id


def _sorted(routes: Routes) -> Routes:
    # The lowest id wins on every start, not by chance.
    return routes if len(routes) < 2 else tuple(sorted(routes, key=lambda route: route.id))


def _without(routes: Routes, route: Route) -> Routes:
    return tuple(one for one in routes if one.id != route.id)
