"""The route table: immutable, swapped whole, and cheap to derive.

A trie over path segments. Deriving a table copies the nodes on one path and shares the rest, so
changing one route of 10,000 costs microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from stoa_proxy.model import Api, Consumer, Route

_NO_API = Api("")


def _nothing() -> MappingProxyType[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Node:
    """One segment. `hosts` maps an exact name, `*.suffix` or `""` (any host) to its routes."""

    children: Mapping[str, Node] = field(default_factory=dict)
    hosts: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing hangs below."""
        return not self.children and not self.hosts


@dataclass(frozen=True, slots=True)
class Found:
    """Routes of the longest prefix and most exact host; `depth` segments were matched."""

    depth: int
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Everything a request is judged by.

    `keys` maps the SHA-256 of an API key (hex) to the id of its consumer.
    """

    root: Node = field(default_factory=Node)
    routes: MappingProxyType[str, Route] = field(default_factory=_nothing)
    apis: MappingProxyType[str, Api] = field(default_factory=_nothing)
    consumers: MappingProxyType[str, Consumer] = field(default_factory=_nothing)
    keys: MappingProxyType[str, str] = field(default_factory=_nothing, repr=False)

    def find(self, host: str, segments: tuple[str, ...]) -> Found | None:
        """Routes for a normalised host and decoded segments, whatever their methods."""
        node, depth = self.root, 0
        found = _at(node, host, 0) if node.hosts else None
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                break
            node, depth = child, depth + 1
            if node.hosts:
                found = _at(node, host, depth) or found
        return found

    def api(self, api_id: str) -> Api:
        """What is known of an API; an empty one when nothing is."""
        return self.apis.get(api_id, _NO_API)

    @classmethod
    def of(cls, routes: Iterable[Route]) -> Table:
        """A table of many routes at once; of two with one id the last counts."""
        by_id = {route.id: route for route in routes}
        root: dict[str, Any] = {}
        for route in sorted(by_id.values(), key=lambda one: one.id):
            branch = root
            for segment in route.prefix:
                branch = branch.setdefault("children", {}).setdefault(segment, {})
            for host in route.hosts or ("",):
                branch.setdefault("hosts", {}).setdefault(host, []).append(route)
        return cls(root=_grow(root), routes=MappingProxyType(by_id))

    def with_route(self, route: Route) -> Table:
        """A table in which `route` replaces the one of its id."""
        old = self.routes.get(route.id)
        root = self.root if old is None else _edit(self.root, old, add=False)
        routes = self.routes | {route.id: route}
        return replace(self, root=_edit(root, route, add=True), routes=MappingProxyType(routes))

    def without_route(self, route_id: str) -> Table:
        """A table without that route; KeyError when there is none."""
        routes = self.routes.copy()
        old = routes.pop(route_id)
        root = _edit(self.root, old, add=False)
        return replace(self, root=root, routes=MappingProxyType(routes))

    def with_api(self, api: Api) -> Table:
        """A table in which `api` replaces the one of its id; an empty one is dropped."""
        is_empty = not api.plans and not api.policies
        if is_empty and api.id not in self.apis:
            return self
        apis = self.apis | {api.id: api}
        if is_empty:
            del apis[api.id]
        return replace(self, apis=MappingProxyType(apis))

    def with_consumer(self, consumer: Consumer) -> Table:
        """A table in which `consumer` replaces the one of its id, keys included."""
        base = self.without_consumer(consumer.id) if consumer.id in self.consumers else self
        keys = base.keys | dict.fromkeys(consumer.key_hashes, consumer.id)
        consumers = base.consumers | {consumer.id: consumer}
        return replace(self, consumers=MappingProxyType(consumers), keys=MappingProxyType(keys))

    def without_consumer(self, consumer_id: str) -> Table:
        """A table without that consumer and its keys; KeyError when there is none."""
        consumers = self.consumers.copy()
        old = consumers.pop(consumer_id)
        keys = self.keys.copy()
        for key in old.key_hashes:
            keys.pop(key, None)
        return replace(self, consumers=MappingProxyType(consumers), keys=MappingProxyType(keys))


def _at(node: Node, host: str, depth: int) -> Found | None:
    """The node's routes for a host: exact before the longest wildcard before any."""
    hosts = node.hosts
    routes = hosts.get(host)
    if routes is None and not (len(hosts) == 1 and "" in hosts):
        rest = host
        while routes is None and "." in rest:
            rest = rest.partition(".")[2]
            routes = hosts.get(f"*.{rest}")
    routes = routes or hosts.get("")
    return Found(depth, routes) if routes else None


def _grow(branch: Mapping[str, Any]) -> Node:
    """The node of a branch of nested dicts; as deep as the longest prefix has segments."""
    children = {name: _grow(one) for name, one in branch.get("children", {}).items()}
    hosts = {name: tuple(routes) for name, routes in branch.get("hosts", {}).items()}
    return Node(children, hosts)


def _edit(root: Node, route: Route, *, add: bool) -> Node:
    """The trie with a route put in or taken out; nodes off its path are shared."""
    path = [root]
    for segment in route.prefix:
        path.append(path[-1].children.get(segment) or Node())
    node = replace(path[-1], hosts=_edit_hosts(path[-1].hosts, route, add=add))
    for parent, segment in zip(reversed(path[:-1]), reversed(route.prefix), strict=True):
        children = dict(parent.children)
        if node.is_empty:
            children.pop(segment, None)
        else:
            children[segment] = node
        node = replace(parent, children=children)
    return node


def _edit_hosts(
    old: Mapping[str, tuple[Route, ...]], route: Route, *, add: bool
) -> dict[str, tuple[Route, ...]]:
    hosts = dict(old)
    for host in route.hosts or ("",):
        others = [other for other in hosts.pop(host, ()) if other.id != route.id]
        if add:
            others.append(route)
        if others:
            # Two routes that collide: the lowest id wins on every start, not by chance.
            hosts[host] = tuple(sorted(others, key=lambda one: one.id))
    return hosts
