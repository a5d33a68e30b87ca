"""Changes of several objects that are one, and what has to hold between objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from stoa_proxy.admin.checks import View
from stoa_proxy.core.header_routes import can_hold_together
from stoa_proxy.core.model import Consumer, PolicyEntry, Prefix, Route
from stoa_proxy.core.persistent_map import PersistentMap
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.errors import ObjectRefused


@dataclass(frozen=True, slots=True)
class Changes:
    """Objects to store and ids to remove, as one change: all of it or nothing.

    `routes`, `policies` and `consumers` are pairs of an object and its view; `without_*` are ids,
    none of which is among the objects.
    """

    routes: tuple[tuple[Route, View], ...] = ()
    policies: tuple[tuple[PolicyEntry, View], ...] = ()
    consumers: tuple[tuple[Consumer, View], ...] = ()
    without_routes: tuple[str, ...] = ()
    without_policies: tuple[str, ...] = ()
    without_consumers: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """How many objects of which kind, for the log."""
        return (
            f"apis={len(self.routes)}-{len(self.without_routes)}"
            f" policies={len(self.policies)}-{len(self.without_policies)}"
            f" consumers={len(self.consumers)}-{len(self.without_consumers)}"
        )


class ApiMembership:
    """The ids of the objects that belong to each API."""

    def __init__(self) -> None:
        # Tuples: a set of two takes three times as much memory.
        self._ids: PersistentMap[tuple[str, ...]] = PersistentMap()

    def __len__(self) -> int:
        return len(self._ids)

    def copy(self) -> ApiMembership:
        """Return the same, to be changed aside."""
        other = ApiMembership()
        other._ids = self._ids
        return other

    def __iter__(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        return iter(self._ids.items())

    def parts(self) -> Iterator[object]:
        """Return what this consists of now, whatever is changed meanwhile."""
        return chain(self._ids.holders(), self._ids.values())

    def ids_of(self, api_id: str) -> tuple[str, ...]:
        """Return the ids of an API's objects, in the order in which they were added."""
        return self._ids.get(api_id, ())

    def move(self, item_id: str, old: str | None, new: str | None) -> None:
        """Move an object from one API to another. None is no API."""
        if old == new:
            return
        if old is not None:
            others = tuple(other for other in self._ids[old] if other != item_id)
            kept = self._ids.with_item(old, others) if others else self._ids.without(old)
            self._ids = kept
        if new is not None:
            self._ids = self._ids.with_item(new, (*self.ids_of(new), item_id))


def check_tenants(changes: Changes, table: RoutingTable, routes_of: ApiMembership) -> None:
    """Raise ObjectRefused where an API would have routes of two tenants."""
    gone = {*changes.without_routes, *(route.id for route, _ in changes.routes)}
    tenants: dict[str, str] = {}
    for route, _ in changes.routes:
        tenants.setdefault(route.api_id, route.tenant_id)
    errors, objects = [], []
    for route, _ in changes.routes:
        others = {
            table.routes[other].tenant_id
            for other in routes_of.ids_of(route.api_id)
            if other not in gone
        }
        if {*others, tenants[route.api_id]} != {route.tenant_id}:
            errors.append(f"api_id '{route.api_id}' belongs to another tenant")
            objects.append(("apis", route.id))
    if errors:
        raise ObjectRefused(errors, objects=objects)


def check_owners(changes: Changes, table: RoutingTable) -> None:
    """Raise ObjectRefused (409) where routes of two tenants would receive the same requests.

    Those of one prefix, one host and a common method that ask for as many headers: nothing but
    their ids would decide between them. A longer prefix, a more exact host or a further header is
    an order that is known beforehand.
    """
    gone = {*changes.without_routes, *(route.id for route, _ in changes.routes)}
    fresh: dict[Prefix, list[Route]] = {}
    errors, objects = [], []
    for route, _ in changes.routes:
        there = (other for other in table.routes_beside(route) if other.id not in gone)
        ties = [
            f"path_prefix: route '{other.id}' of another tenant answers {_requests(route)} already"
            for other in (*there, *fresh.get(route.prefix, ()))
            if _is_tie(route, other)
        ]
        errors += ties
        if ties:
            objects.append(("apis", route.id))
        fresh.setdefault(route.prefix, []).append(route)
    if errors:
        raise ObjectRefused(errors, status=409, objects=objects)


def place_of(route: Route) -> tuple[object, ...]:
    """Return by what a route can stand in the way of others."""
    place = (route.prefix, route.hosts, route.methods, route.headers)
    return route.tenant_id, route.api_id, *place


def names_of(consumer: Consumer) -> tuple[object, ...]:
    """Return by what a consumer can stand in the way of others."""
    return consumer.tenant_id, consumer.key_hashes, consumer.client_hashes


def _is_tie(route: Route, other: Route) -> bool:
    if route.tenant_id == other.tenant_id:
        return False
    if route.methods and other.methods and route.methods.isdisjoint(other.methods):
        return False
    if not route.hosts or not other.hosts:
        if route.hosts or other.hosts:
            return False
    elif set(route.hosts).isdisjoint(other.hosts):
        return False
    return len(route.headers) == len(other.headers) and can_hold_together(route, other)


def _requests(route: Route) -> str:
    methods = ",".join(sorted(route.methods))
    asked = "".join(f" [{name}={'|'.join(values)}]" for name, values in route.headers)
    return f"{methods} {','.join(route.hosts)}{route.path}{asked}".strip()


def check_keys(changes: Changes, table: RoutingTable) -> None:
    """Raise ObjectRefused (409) where a key would belong to two consumers.

    Nor may a client id belong to two of one tenant. Client ids are no secrets, so those of several
    tenants may have the same: nobody can take another tenant's away by naming it first.
    """
    if not changes.consumers:
        return
    gone = {*changes.without_consumers, *(consumer.id for consumer, _ in changes.consumers)}
    uses = Counter(key for consumer, _ in changes.consumers for key in consumer.key_hashes)
    clients = Counter(
        (consumer.tenant_id, client)
        for consumer, _ in changes.consumers
        for client in consumer.client_hashes
    )
    errors, objects = [], []
    for consumer, _ in changes.consumers:
        taken = [
            f"the API key {index + 1}"
            for index, key in enumerate(consumer.key_hashes)
            if uses[key] > 1 or table.keys.get(key, consumer.id) not in gone
        ]
        taken += [
            f"the client id {index + 1}"
            for index, client in enumerate(consumer.client_hashes)
            if clients[consumer.tenant_id, client] > 1
            or any(
                table.consumers[other].tenant_id == consumer.tenant_id
                for other in table.clients.get(client, ())
                if other not in gone
            )
        ]
        errors += [f"credentials: {what} belongs to another consumer" for what in taken]
        objects += [("consumers", consumer.id)] * len(taken)
    if errors:
        raise ObjectRefused(errors, status=409, objects=objects)
