"""The trie of the routing table: a node for each segment of a prefix, never changed but copied.

A changed trie copies the nodes on one path and shares the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from stoa_proxy.core.header_routes import Asked, HeaderHosts, make_header_routes
from stoa_proxy.core.model import Route
from stoa_proxy.core.persistent_map import PersistentMap, compact_items, edit_item

MAX_PARAMETERS: Final = 4
MAX_DEPTH: Final = 10
"""Segments of a path with parameters: as many as Kong's order of routes has room for.

A path of n segments has at most n over MAX_PARAMETERS and fewer places for parameters, so no
request can match more than 1,023 nodes, whatever routes there are.
"""

ANY_HOST: Final = ("",)
# Up to so many routes a node keeps a tuple: a dict would be most of the memory of a trie.
_FEW = 4
# A change of one of 100,000 routes of one folder took 20 to 170 ms with a dict that is copied.
_FEW_CHILDREN = 512

Routes = tuple[Route, ...]
Hosts = Mapping[str, Routes]
"""An exact name, `*.suffix` or `""` (any host), and its routes, sorted by id."""

NOTHING: Final[MappingProxyType[str, Any]] = MappingProxyType({})


def _nothing() -> MappingProxyType[str, Any]:
    return NOTHING


class Match(NamedTuple):
    """The routes of the longest prefix and most exact host; `depth` segments were matched.

    Those that ask for most headers first: of several that have a method the first is meant.
    """

    depth: int
    routes: Routes


class NodesSpent(Exception):
    """Lookups met as many nodes as they may."""


class NodeBudget:
    """How many nodes several lookups may meet together where prefixes with parameters lie."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def spend(self, count: int) -> None:
        """Count nodes that are met. Raises NodesSpent when they are too many."""
        self.left -= count
        if self.left < 0:
            raise NodesSpent


@dataclass(frozen=True, slots=True)
class Node:
    """One segment; `routes` are those that end here, `parameter` is what any next segment leads to.

    A tuple sorted by id while they are few (_FEW), else a mapping by host; `HeaderHosts` where one
    of them asks for headers. `match` is what every request finds here: None where that depends on
    its host or headers, or nothing ends here. `parts` are those of `children` where these are many.
    """

    children: Mapping[str, Node] = field(default_factory=_nothing)
    routes: Routes | Hosts | HeaderHosts = ()
    parameter: Node | None = None
    match: Match | None = None
    parts: tuple[Mapping[str, Node], ...] | None = field(default=None, compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether no route ends here or below."""
        return not self.children and not self.routes and self.parameter is None

    def below(self) -> Iterator[Node]:
        """Yield the nodes of one more segment."""
        yield from self.children.values()
        if self.parameter is not None:
            yield self.parameter

    def child(self, segment: str | None) -> Node | None:
        """Return the node of one more segment of a prefix."""
        return self.parameter if segment is None else self.children.get(segment)

    def with_child(self, segment: str | None, child: Node) -> Node:
        """Return the same with another node for a segment of a prefix; without it if empty."""
        if segment is None:
            return replace(self, parameter=None if child.is_empty else child)
        kept = None if child.is_empty else child
        children = edit_item(self.children, segment, kept, _FEW_CHILDREN)
        parts = _parts_of(children)
        return Node(children or NOTHING, self.routes, self.parameter, self.match, parts)

    def with_routes(self, routes: Routes | Hosts | HeaderHosts, depth: int) -> Node:
        """Return the same with the routes of a prefix of so many segments."""
        return replace(self, routes=routes, match=_match_of_all(routes, depth))

    def by_host(self) -> Hosts:
        """Return the routes that end here, by host."""
        if isinstance(self.routes, HeaderHosts):
            return self.routes.by_host()
        if not isinstance(self.routes, tuple):
            return self.routes
        hosts: dict[str, Routes] = {}
        for route in self.routes:
            for host in dict.fromkeys(route.hosts or ANY_HOST):
                hosts[host] = (*hosts.get(host, ()), route)
        return hosts

    def find(self, host: str, depth: int, head: Asked | None) -> Match | None:
        """Return the routes for a host: exact, else the longest wildcard, else any host."""
        routes = self.routes
        if self.match is not None or not routes:
            return self.match
        if isinstance(routes, tuple) and len(routes) == 1:
            return Match(depth, routes) if _accepts_host(routes[0], host) else None
        if isinstance(routes, HeaderHosts):
            found = routes.find(host, head)
            return Match(depth, found) if found else None
        hosts = self.by_host()
        named = hosts.get(host)
        rest = host
        while named is None and "." in rest:
            rest = rest.partition(".")[2]
            named = hosts.get(f"*.{rest}")
        named = named or hosts.get("")
        return Match(depth, named) if named else None


def find_among(
    node: Node,
    depth: int,
    host: str,
    segments: tuple[str, ...],
    head: Asked | None,
    budget: NodeBudget | None,
) -> Match | None:
    """Return the routes below a node of so many segments that several prefixes lead on from.

    Raises NodesSpent.
    """
    found = list(levels(node, segments[depth:], budget))
    for below in range(len(found), 0, -1):
        for one in found[below - 1]:
            match = one.find(host, depth + below, head)
            if match is not None:
                return match
    return None


def levels(
    node: Node, segments: Iterable[str], budget: NodeBudget | None = None
) -> Iterator[list[Node]]:
    """Yield the nodes that one more segment leads to each time, up to where none is.

    In the order in which prefixes of one length count: where two first differ, the one with a
    literal segment is before the one with a parameter. `MAX_PARAMETERS` and `MAX_DEPTH` bound how
    many they are, and a `budget` how many several lookups may meet. Raises NodesSpent.
    """
    level = [node]
    for segment in segments:
        following: list[Node] = []
        for one in level:
            child = one.children.get(segment)
            if child is not None:
                following.append(child)
            if one.parameter is not None and segment:
                following.append(one.parameter)
        if not following:
            return
        if budget is not None:
            budget.spend(len(following))
        level = following
        yield level


def make_trie(routes: Iterable[Route]) -> Node:
    """Return the trie of many routes at once; these are sorted by id."""
    root: dict[str, Any] = {}
    for route in routes:
        branch = root
        for segment in route.prefix:
            branch = branch.setdefault("children", {}).setdefault(segment, {})
        for host in dict.fromkeys(route.hosts or ANY_HOST):
            branch.setdefault("hosts", {}).setdefault(host, []).append(route)
    return _make_node(root, 0)


def edit_trie(root: Node, route: Route, *, add: bool) -> Node:
    """Return the trie with a route added or removed; nodes off its path are shared."""
    path = [root]
    for segment in route.prefix:
        path.append(path[-1].child(segment) or Node())
    last = path[-1]
    node = last.with_routes(_edit_routes(last, route, add=add), len(route.prefix))
    for parent, segment in zip(reversed(path[:-1]), reversed(route.prefix), strict=True):
        node = parent.with_child(segment, node)
    return node


def nodes_of(root: Node) -> Iterator[Node]:
    """Yield all nodes, each before those below it, and few of them held at a time."""
    waiting = [iter((root,))]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            continue
        yield node
        waiting.append(node.below())


def _parts_of(children: Mapping[str, Node]) -> tuple[Mapping[str, Node], ...] | None:
    return children.parts if isinstance(children, PersistentMap) else None


def _match_of_all(routes: Routes | Hosts | HeaderHosts, depth: int) -> Match | None:
    """Return what every request finds, whatever its host and headers."""
    if isinstance(routes, HeaderHosts) or not routes:
        return None
    if isinstance(routes, tuple):
        return None if any(route.hosts for route in routes) else Match(depth, routes)
    return Match(depth, routes[""]) if routes.keys() == {""} else None


def _accepts_host(route: Route, host: str) -> bool:
    """Whether a route is for a host, whichever of its names says so."""
    hosts = route.hosts
    if not hosts or host in hosts:
        return True
    return any(name.startswith("*.") and host.endswith(name[1:]) for name in hosts)


def _make_node(branch: Mapping[str, Any], depth: int) -> Node:
    """Return the node of a branch of nested dicts; recurses once per segment of a prefix."""
    below = branch.get("children", {}).items()
    made = {name: _make_node(child, depth + 1) for name, child in below}
    parameter = made.pop(None, None)
    children = compact_items(made, _FEW_CHILDREN) or NOTHING
    routes = _compact({name: tuple(some) for name, some in branch.get("hosts", {}).items()})
    return Node(children, routes, parameter, _match_of_all(routes, depth), _parts_of(children))


def _edit_routes(node: Node, route: Route, *, add: bool) -> Routes | Hosts | HeaderHosts:
    if route.headers or isinstance(node.routes, HeaderHosts):
        edited = _with_headers(node).edited(route, add=add)
        return edited if edited.has_headers else _compact(edited.by_host())
    hosts = dict(node.by_host())
    for host in dict.fromkeys(route.hosts or ANY_HOST):
        others = [other for other in hosts.pop(host, ()) if other.id != route.id]
        if add:
            others.append(route)
        if others:
            # Two routes of one tenant that collide: the lowest id wins on every start, not by
            # chance. Those of two tenants are refused (`admin.changes`).
            hosts[host] = tuple(sorted(others, key=lambda other: other.id))
    return _compact(hosts)


def _with_headers(node: Node) -> HeaderHosts:
    if isinstance(node.routes, HeaderHosts):
        return node.routes
    return HeaderHosts(
        {host: make_header_routes(routes) for host, routes in node.by_host().items()}
    )


def _compact(hosts: Hosts) -> Routes | Hosts | HeaderHosts:
    """Return routes in the form that a node keeps: a tuple of few, a mapping of many."""
    if any(route.headers for routes in hosts.values() for route in routes):
        return HeaderHosts({host: make_header_routes(routes) for host, routes in hosts.items()})
    if len(hosts) > _FEW or sum(map(len, hosts.values())) > _FEW:
        return hosts
    routes = {route.id: route for named in hosts.values() for route in named}
    return tuple(routes[route_id] for route_id in sorted(routes))
