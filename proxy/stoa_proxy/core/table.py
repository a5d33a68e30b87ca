"""The routing table: an immutable trie over path segments, replaced as a whole by each write.

A changed table copies the nodes on one path and shares the rest, so that changing one route of
10,000 takes microseconds and no request ever sees half a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from stoa_proxy.core.api import Api
from stoa_proxy.core.header_routes import Asked, HeaderHosts
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.persistent_map import PARTS, PersistentMap
from stoa_proxy.core.trie import (
    ANY_HOST,
    NOTHING,
    Match,
    Node,
    NodeBudget,
    edit_trie,
    find_among,
    levels,
    make_trie,
    nodes_of,
)

_NO_API = Api("")


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

    def find(
        self,
        host: str,
        segments: tuple[str, ...],
        head: Asked | None = None,
        budget: NodeBudget | None = None,
    ) -> Match | None:
        """Return the routes for a normalised host and decoded segments, whatever their methods.

        `head` is sanitised; without one no route matches that asks for headers. Raises NodesSpent
        where a `budget` is.
        """
        node, depth = self.root, 0
        match = node.find(host, 0, head)
        for segment in segments:
            if node.parameter is not None:
                found = find_among(node, depth, host, segments, head, budget)
                return found or match or self.default
            # Not by `children.get`, a call more: it is most of what a match costs.
            parts = node.parts
            below = node.children if parts is None else parts[hash(segment) % PARTS]
            child = below.get(segment)
            if child is None:
                break
            node, depth = child, depth + 1
            if node.match is not None:
                match = node.match
            elif node.routes:
                # A longer prefix counts only if one of its routes is for the host and the headers.
                match = node.find(host, depth, head) or match
        return match or self.default

    def _reached(self, segments: tuple[str, ...]) -> Iterator[Node]:
        """Yield the nodes of all prefixes of decoded segments."""
        yield self.root
        for level in levels(self.root, segments):
            yield from level

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
            for host in route.hosts or ANY_HOST:
                if (routes := node.routes.hosts.get(host)) is not None:
                    yield from routes.rivals(route)
            return
        if route.headers:
            return
        hosts = node.by_host() if node is not None and node.routes else NOTHING
        for host in route.hosts or ANY_HOST:
            yield from hosts.get(host, ())

    def api(self, api_id: str) -> Api:
        """Return an API; one without plans and policies when nothing is known of it."""
        return self.apis.get(api_id, _NO_API)

    def parts(self) -> Iterator[object]:
        """Yield what the table consists of, what holds others before these."""
        for node in nodes_of(self.root):
            yield node
            if isinstance(node.children, PersistentMap):
                yield from node.children.holders()
        for items in (self.routes, self.apis, self.consumers):
            yield from items.holders()
            yield from items.values()
        for other in (self.balanced, self.keys, self.clients):
            yield from other.holders()

    @classmethod
    def from_routes(cls, routes: Iterable[Route]) -> RoutingTable:
        """Return a table of many routes at once; of two with one id the last counts."""
        by_id = {route.id: route for route in routes}
        balanced = {name: route for name, route in by_id.items() if route.balancing is not None}
        return cls(
            root=make_trie(sorted(by_id.values(), key=lambda route: route.id)),
            routes=PersistentMap.from_items(by_id),
            balanced=PersistentMap.from_items(balanced),
        )

    def with_route(self, route: Route) -> RoutingTable:
        """Return a table in which `route` replaces the one of its id."""
        old = self.routes.get(route.id)
        # What stays at its place takes the one of its id: one edit instead of two.
        is_moved = old is not None and _place_of(old) != _place_of(route)
        root = edit_trie(self.root, old, add=False) if old is not None and is_moved else self.root
        routes = self.routes.with_item(route.id, route)
        balanced = self.balanced
        if route.balancing is not None:
            balanced = balanced.with_item(route.id, route)
        elif route.id in balanced:
            balanced = balanced.without(route.id)
        return replace(
            self, root=edit_trie(root, route, add=True), routes=routes, balanced=balanced
        )

    def without_route(self, route_id: str) -> RoutingTable:
        """Return a table without that route. Raises KeyError when there is none."""
        root = edit_trie(self.root, self.routes[route_id], add=False)
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


def _place_of(route: Route) -> tuple[object, ...]:
    return route.prefix, route.hosts, route.headers
