"""The routing table: an immutable trie over path segments, replaced as a whole by each write.

A changed table copies the nodes on one path and shares the rest, so that changing one route of
10,000 takes microseconds and no request ever sees half a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from stoa_proxy.core.api import Api
from stoa_proxy.core.header_routes import Asked, HeaderHosts, make_header_routes
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.persistent_map import PersistentMap, compact_items, edit_item

_NO_API = Api("")
_ANY_HOST = ("",)
# Of a path with parameters: more than 10,000 nodes can not match one request then, whatever routes
# there are, for a path of n segments has at most n over MAX_PARAMETERS and fewer places for them.
MAX_PARAMETERS = 4
MAX_DEPTH = 16
# Up to so many routes a node keeps a tuple: a dict would be most of the memory of a trie.
_FEW = 4
# A change of one of 100,000 routes of one folder took 20 to 170 ms with a dict that is copied.
_FEW_CHILDREN = 1024

Routes = tuple[Route, ...]
Hosts = Mapping[str, Routes]
"""An exact name, `*.suffix` or `""` (any host), and its routes, sorted by id."""
_NOTHING: MappingProxyType[str, Any] = MappingProxyType({})


def _nothing() -> MappingProxyType[str, Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Node:
    """One segment; `routes` are those that end here, `parameter` is what any next segment leads to.

    A tuple sorted by id while they are few (_FEW), else a mapping by host; `HeaderHosts` where one
    of them asks for headers.
    """

    children: Mapping[str, Node] = field(default_factory=_nothing)
    routes: Routes | Hosts | HeaderHosts = ()
    parameter: Node | None = None

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
        return replace(self, children=children or _NOTHING)

    def by_host(self) -> Hosts:
        """Return the routes that end here, by host."""
        if isinstance(self.routes, HeaderHosts):
            return self.routes.by_host()
        if not isinstance(self.routes, tuple):
            return self.routes
        hosts: dict[str, Routes] = {}
        for route in self.routes:
            for host in dict.fromkeys(route.hosts or _ANY_HOST):
                hosts[host] = (*hosts.get(host, ()), route)
        return hosts


class Match(NamedTuple):
    """The routes of the longest prefix and most exact host; `depth` segments were matched.

    Those that ask for most headers first: of several that have a method the first is meant.
    """

    depth: int
    routes: Routes


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that is configured, as one value.

    `balanced` are the routes with several backends. `keys` maps the SHA-256 of an API
    key (hex) to the id of its consumer, `clients` that of a client id to the ids of all consumers
    that have it, sorted. `default` is what takes requests that no route is for.
    """

    root: Node = field(default_factory=Node)
    routes: PersistentMap[Route] = field(default_factory=PersistentMap)
    balanced: PersistentMap[Route] = field(default_factory=PersistentMap)
    apis: PersistentMap[Api] = field(default_factory=PersistentMap)
    consumers: PersistentMap[Consumer] = field(default_factory=PersistentMap)
    keys: PersistentMap[str] = field(default_factory=PersistentMap, repr=False)
    clients: PersistentMap[tuple[str, ...]] = field(default_factory=PersistentMap, repr=False)
    default: Match | None = None

    def find(self, host: str, segments: tuple[str, ...], head: Asked | None = None) -> Match | None:
        """Return the routes for a normalised host and decoded segments, whatever their methods.

        `head` is sanitised; without one no route matches that asks for headers.
        """
        node, depth = self.root, 0
        match = _match_host(node, host, 0, head) if node.routes else None
        for segment in segments:
            if node.parameter is not None:
                return self._find_among(node, depth, host, segments, head) or match or self.default
            child = node.children.get(segment)
            if child is None:
                break
            node, depth = child, depth + 1
            if node.routes:
                # A longer prefix counts only if one of its routes is for the host and the headers.
                match = _match_host(node, host, depth, head) or match
        return match or self.default

    def _find_among(
        self, node: Node, depth: int, host: str, segments: tuple[str, ...], head: Asked | None
    ) -> Match | None:
        """Return the routes below a node that several prefixes lead on from."""
        match: Match | None = None
        for level in _levels(node, segments[depth:]):
            depth += 1
            for one in level:
                if one.routes and (found := _match_host(one, host, depth, head)) is not None:
                    match = found
                    break
        return match

    def _reached(self, segments: tuple[str, ...]) -> Iterator[Node]:
        """Yield the nodes of all prefixes of decoded segments."""
        yield self.root
        for level in _levels(self.root, segments):
            yield from level

    def asks_headers(self, segments: tuple[str, ...]) -> bool:
        """Whether a prefix of decoded segments has routes that ask for headers."""
        return any(isinstance(node.routes, HeaderHosts) for node in self._reached(segments))

    def has_hosts(self, segments: tuple[str, ...]) -> bool:
        """Whether a prefix of decoded segments has routes for some hosts only."""
        reached = self._reached(segments)
        return any(node.routes and node.by_host().keys() != {""} for node in reached)

    def routes_beside(self, route: Route) -> Iterator[Route]:
        """Yield the routes of the same prefix and one of the same hosts, some more than once.

        Of those that ask for headers the ones between which nothing but their ids decides.
        """
        node: Node | None = self.root
        for segment in route.prefix:
            node = node.child(segment) if node is not None else None
        if node is not None and isinstance(node.routes, HeaderHosts):
            for host in route.hosts or _ANY_HOST:
                if (routes := node.routes.hosts.get(host)) is not None:
                    yield from routes.rivals(route)
            return
        if route.headers:
            return
        hosts = node.by_host() if node is not None and node.routes else _NOTHING
        for host in route.hosts or _ANY_HOST:
            yield from hosts.get(host, ())

    def api(self, api_id: str) -> Api:
        """Return an API; one without plans and policies when nothing is known of it."""
        return self.apis.get(api_id, _NO_API)

    def parts(self) -> Iterator[object]:
        """Yield what the table consists of, nodes before those below them."""
        nodes = [self.root]
        while nodes:
            yield from nodes
            nodes = [child for node in nodes for child in node.below()]
        for items in (self.routes, self.apis, self.consumers):
            yield from items.values()

    @classmethod
    def from_routes(cls, routes: Iterable[Route]) -> RoutingTable:
        """Return a table of many routes at once; of two with one id the last counts."""
        by_id = {route.id: route for route in routes}
        root: dict[str, Any] = {}
        for route in sorted(by_id.values(), key=lambda route: route.id):
            branch = root
            for segment in route.prefix:
                branch = branch.setdefault("children", {}).setdefault(segment, {})
            for host in dict.fromkeys(route.hosts or _ANY_HOST):
                branch.setdefault("hosts", {}).setdefault(host, []).append(route)
        balanced = {name: route for name, route in by_id.items() if route.balancing is not None}
        return cls(
            root=_make_node(root),
            routes=PersistentMap.from_items(by_id),
            balanced=PersistentMap.from_items(balanced),
        )

    def with_route(self, route: Route) -> RoutingTable:
        """Return a table in which `route` replaces the one of its id."""
        old = self.routes.get(route.id)
        # What stays at its place takes the one of its id: one edit instead of two.
        is_moved = old is not None and _place_of(old) != _place_of(route)
        root = _edit(self.root, old, add=False) if old is not None and is_moved else self.root
        routes = self.routes.with_item(route.id, route)
        balanced = self.balanced
        if route.balancing is not None:
            balanced = balanced.with_item(route.id, route)
        elif route.id in balanced:
            balanced = balanced.without(route.id)
        return replace(self, root=_edit(root, route, add=True), routes=routes, balanced=balanced)

    def without_route(self, route_id: str) -> RoutingTable:
        """Return a table without that route. Raises KeyError when there is none."""
        root = _edit(self.root, self.routes[route_id], add=False)
        balanced = self.balanced.without(route_id) if route_id in self.balanced else self.balanced
        return replace(self, root=root, routes=self.routes.without(route_id), balanced=balanced)

    def with_api(self, api: Api) -> RoutingTable:
        """Return a table in which `api` replaces the one of its id; an empty one is dropped."""
        is_empty = not api.plans and not api.policies
        if self.apis.get(api.id) == (None if is_empty else api):
            return self
        apis = self.apis.without(api.id) if is_empty else self.apis.with_item(api.id, api)
        return replace(self, apis=apis)

    def with_consumer(self, consumer: Consumer) -> RoutingTable:
        """Return a table in which `consumer` replaces the one of its id, keys included."""
        base = self.without_consumer(consumer.id) if consumer.id in self.consumers else self
        keys, clients = base.keys, base.clients
        for key in consumer.key_hashes:
            keys = keys.with_item(key, consumer.id)
        for client in consumer.client_hashes:
            owners = tuple(sorted({*clients.get(client, ()), consumer.id}))
            clients = clients.with_item(client, owners)
        consumers = base.consumers.with_item(consumer.id, consumer)
        return replace(self, consumers=consumers, keys=keys, clients=clients)

    def without_consumer(self, consumer_id: str) -> RoutingTable:
        """Return a table without that consumer and its keys; KeyError when there is none."""
        keys, clients = self.keys, self.clients
        consumer = self.consumers[consumer_id]
        for key in consumer.key_hashes:
            if key in keys:
                keys = keys.without(key)
        for client in consumer.client_hashes:
            owners = tuple(owner for owner in clients.get(client, ()) if owner != consumer_id)
            clients = clients.with_item(client, owners) if owners else clients.without(client)
        consumers = self.consumers.without(consumer_id)
        return replace(self, consumers=consumers, keys=keys, clients=clients)


def _levels(node: Node, segments: Iterable[str]) -> Iterator[list[Node]]:
    """Yield the nodes that one more segment leads to each time, up to where none is.

    In the order in which prefixes of one length count: where two first differ, the one with a
    literal segment is before the one with a parameter. `MAX_PARAMETERS` and `MAX_DEPTH` bound how
    many they are.
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
        level = following
        yield level


def _match_host(node: Node, host: str, depth: int, head: Asked | None) -> Match | None:
    """Return the node's routes for a host: exact, else the longest wildcard, else any host."""
    if isinstance(node.routes, tuple) and len(node.routes) == 1:  # nearly all nodes
        return Match(depth, node.routes) if _accepts_host(node.routes[0], host) else None
    if isinstance(node.routes, HeaderHosts):
        found = node.routes.find(host, head)
        return Match(depth, found) if found else None
    hosts = node.by_host()
    routes = hosts.get(host)
    if routes is None and not (len(hosts) == 1 and "" in hosts):
        rest = host
        while routes is None and "." in rest:
            rest = rest.partition(".")[2]
            routes = hosts.get(f"*.{rest}")
    routes = routes or hosts.get("")
    return Match(depth, routes) if routes else None


def _accepts_host(route: Route, host: str) -> bool:
    """Whether a route is for a host, whichever of its names says so."""
    hosts = route.hosts
    if not hosts or host in hosts:
        return True
    return any(name.startswith("*.") and host.endswith(name[1:]) for name in hosts)


def _place_of(route: Route) -> tuple[object, ...]:
    return route.prefix, route.hosts, route.headers


def _make_node(branch: Mapping[str, Any]) -> Node:
    """Return the node of a branch of nested dicts; recurses once per segment of a prefix."""
    children = {name: _make_node(child) for name, child in branch.get("children", {}).items()}
    parameter = children.pop(None, None)
    hosts = {name: tuple(routes) for name, routes in branch.get("hosts", {}).items()}
    return Node(compact_items(children, _FEW_CHILDREN) or _NOTHING, _compact(hosts), parameter)


def _edit(root: Node, route: Route, *, add: bool) -> Node:
    """Return the trie with a route added or removed; nodes off its path are shared."""
    path = [root]
    for segment in route.prefix:
        path.append(path[-1].child(segment) or Node())
    node = replace(path[-1], routes=_edit_routes(path[-1], route, add=add))
    for parent, segment in zip(reversed(path[:-1]), reversed(route.prefix), strict=True):
        node = parent.with_child(segment, node)
    return node


def _edit_routes(node: Node, route: Route, *, add: bool) -> Routes | Hosts | HeaderHosts:
    if route.headers or isinstance(node.routes, HeaderHosts):
        edited = _with_headers(node).edited(route, add=add)
        return edited if edited.has_headers else _compact(edited.by_host())
    hosts = dict(node.by_host())
    for host in dict.fromkeys(route.hosts or _ANY_HOST):
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
