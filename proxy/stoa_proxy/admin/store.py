"""The state that the admin API writes: the routing table, and every object as it is read back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable

from stoa_proxy.admin.checks import View
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.object_list import ObjectList
from stoa_proxy.admin.policies import entry_from_body
from stoa_proxy.core.model import Consumer, Plan, PolicyEntry, Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.errors import ObjectRefused
from stoa_proxy.foundation.interning import interned
from stoa_proxy.policies import POLICIES
from stoa_proxy.policies.registry import PolicyRegistry


class ApiMembership:
    """The ids of the objects that belong to each API."""

    def __init__(self) -> None:
        # Tuples: a set of two takes three times as much memory.
        self._ids: dict[str, tuple[str, ...]] = {}

    def ids_of(self, api_id: str) -> tuple[str, ...]:
        """Return the ids of an API's objects, in the order in which they were added."""
        return self._ids.get(api_id, ())

    def move(self, item_id: str, old: str | None, new: str | None) -> None:
        """Move an object from one API to another. None is no API."""
        if old == new:
            return
        if old is not None:
            others = tuple(other for other in self._ids.pop(old) if other != item_id)
            if others:
                self._ids[old] = others
        if new is not None:
            self._ids[new] = (*self.ids_of(new), item_id)


class Store:
    """State of one process, in memory. Every write checks first, then swaps the table.

    Not for threads: all calls come from one event loop and none of them waits.
    """

    def __init__(self, policy_types: PolicyRegistry = POLICIES) -> None:
        # Part of each entity tag, so that one of before a restart is not taken for a current one.
        boot = uuid.uuid4().hex[:12]
        self.policy_types = policy_types
        self.table = RoutingTable()
        self.routes = ObjectList(f"{boot}-r")
        self.policies = ObjectList(f"{boot}-p")
        self.consumers = ObjectList(f"{boot}-c")
        self._routes_of = ApiMembership()
        self._policies_of = ApiMembership()

    def put_route(self, route: Route, view: View) -> bool:
        """Store a route; True when its id is new.

        Raises ObjectRefused for the `api_id` of another tenant.
        """
        for other_id in self._routes_of.ids_of(route.api_id):
            other = self.table.routes[other_id]
            if other_id != route.id and other.tenant_id != route.tenant_id:
                raise ObjectRefused([f"api_id '{route.api_id}' belongs to another tenant"])
        old = self.table.routes.get(route.id)
        self.routes.put(route.id, view)
        self._routes_of.move(route.id, None if old is None else old.api_id, route.api_id)
        self.table = self._compile(self.table.with_route(route), _apis_to_compile(old, route))
        return old is None

    def delete_route(self, route_id: str) -> bool:
        """Remove a route; False when there is none."""
        old = self.table.routes.get(route_id)
        if old is None:
            return False
        self._routes_of.move(route_id, old.api_id, None)
        self.table = self._compile(self.table.without_route(route_id), _apis_to_compile(old, None))
        self.routes.remove(route_id)
        return True

    def put_policy(self, entry: PolicyEntry, view: View) -> bool:
        """Store a policy; True when its id is new."""
        old = self._read_entry(entry.id)
        self.policies.put(entry.id, view)
        self._policies_of.move(entry.id, None if old is None else old.api_id, entry.api_id)
        api_ids = {entry.api_id} if old is None else {entry.api_id, old.api_id}
        self.table = self._compile(self.table, api_ids)
        return old is None

    def delete_policy(self, policy_id: str) -> bool:
        """Remove a policy; False when there is none."""
        old = self._read_entry(policy_id)
        if old is None:
            return False
        self._policies_of.move(policy_id, old.api_id, None)
        self.policies.remove(policy_id)
        self.table = self._compile(self.table, {old.api_id})
        return True

    def put_consumer(self, consumer: Consumer, view: View) -> bool:
        """Store a consumer; True when its id is new.

        Raises ObjectRefused (409) for a key that belongs to another consumer.
        """
        owners = [self.table.keys.get(key, consumer.id) for key in consumer.key_hashes]
        taken = [index for index, owner in enumerate(owners) if owner != consumer.id]
        if taken:
            errors = [f"credentials[{index}] belongs to another consumer" for index in taken]
            raise ObjectRefused(errors, status=409)
        is_new = consumer.id not in self.table.consumers
        self.consumers.put(consumer.id, view)
        self.table = self.table.with_consumer(consumer)
        return is_new

    def delete_consumer(self, consumer_id: str) -> bool:
        """Remove a consumer; False when there is none."""
        if consumer_id not in self.table.consumers:
            return False
        self.table = self.table.without_consumer(consumer_id)
        self.consumers.remove(consumer_id)
        return True

    def _read_entry(self, policy_id: str) -> PolicyEntry | None:
        """Return a policy as it was sent, from its view.

        Held compressed and parsed again, because only writes to its API ask for it.
        """
        content = self.policies.get(policy_id)
        if content is None:
            return None
        # The caller's id, so that the table holds one string for it and not one per read.
        return entry_from_body(Body(json.loads(content) | {"id": policy_id}))

    def _compile(self, table: RoutingTable, api_ids: Iterable[str]) -> RoutingTable:
        """Return the table with these APIs compiled from their routes' plans and their policies."""
        for api_id in api_ids:
            plans: dict[str, Plan] = {}
            # Sorted: of two plans with one name the route with the lowest id decides.
            for route_id in sorted(self._routes_of.ids_of(api_id)):
                for plan in table.routes[route_id].plans:
                    plans.setdefault(plan.name, plan)
            stored = map(self._read_entry, self._policies_of.ids_of(api_id))
            entries = [entry for entry in stored if entry is not None]
            table = table.with_api(
                self.policy_types.compile_api(api_id, interned(tuple(plans.values())), entries)
            )
        return table


def _apis_to_compile(old: Route | None, new: Route | None) -> set[str]:
    """Return the APIs whose plans change when one route takes the place of another."""
    if old is not None and new is not None and (old.api_id, old.plans) == (new.api_id, new.plans):
        return set()
    return {route.api_id for route in (old, new) if route is not None and route.plans}
