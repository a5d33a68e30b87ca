"""What the admin API has been told: the current table, and every object as it is read back."""

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
from stoa_proxy.policies import compile_api


class ApiMembership:
    """The ids of what belongs to each API. Tuples: a set of two takes three times as much."""

    def __init__(self) -> None:
        self._ids: dict[str, tuple[str, ...]] = {}

    def of(self, api_id: str) -> tuple[str, ...]:
        """What belongs to an API, in the order in which it came."""
        return self._ids.get(api_id, ())

    def move(self, item_id: str, old: str | None, new: str | None) -> None:
        """Let an item of one API belong to another. None is no API."""
        if old == new:
            return
        if old is not None:
            others = tuple(one for one in self._ids.pop(old) if one != item_id)
            if others:
                self._ids[old] = others
        if new is not None:
            self._ids[new] = (*self.of(new), item_id)


class Store:
    """State of one process, in memory. Every write checks first, then swaps the table.

    Not for threads: all calls come from one event loop and none of them waits.
    """

    def __init__(self) -> None:
        boot = uuid.uuid4().hex[:12]
        self.table = RoutingTable()
        self.routes = ObjectList(f"{boot}-r")
        self.policies = ObjectList(f"{boot}-p")
        self.consumers = ObjectList(f"{boot}-c")
        self._routes_of = ApiMembership()
        self._policies_of = ApiMembership()

    def put_route(self, route: Route, view: View) -> bool:
        """Store a route; True when its id is new. Raises ObjectRefused for another's `api_id`."""
        for other_id in self._routes_of.of(route.api_id):
            other = self.table.routes[other_id]
            if other_id != route.id and other.tenant_id != route.tenant_id:
                raise ObjectRefused([f"api_id '{route.api_id}' belongs to another tenant"])
        old = self.table.routes.get(route.id)
        self.routes.put(route.id, view)
        self._routes_of.move(route.id, None if old is None else old.api_id, route.api_id)
        self.table = self._compiled(self.table.with_route(route), _planned(old, route))
        return old is None

    def delete_route(self, route_id: str) -> bool:
        """Forget a route; False when there is none."""
        old = self.table.routes.get(route_id)
        if old is None:
            return False
        self._routes_of.move(route_id, old.api_id, None)
        self.table = self._compiled(self.table.without_route(route_id), _planned(old, None))
        self.routes.remove(route_id)
        return True

    def put_policy(self, entry: PolicyEntry, view: View) -> bool:
        """Store a policy; True when its id is new."""
        old = self._entry(entry.id)
        self.policies.put(entry.id, view)
        self._policies_of.move(entry.id, None if old is None else old.api_id, entry.api_id)
        api_ids = {entry.api_id} if old is None else {entry.api_id, old.api_id}
        self.table = self._compiled(self.table, api_ids)
        return old is None

    def delete_policy(self, policy_id: str) -> bool:
        """Forget a policy; False when there is none."""
        old = self._entry(policy_id)
        if old is None:
            return False
        self._policies_of.move(policy_id, old.api_id, None)
        self.policies.remove(policy_id)
        self.table = self._compiled(self.table, {old.api_id})
        return True

    def put_consumer(self, consumer: Consumer, view: View) -> bool:
        """Store a consumer; True when its id is new. Raises ObjectRefused (409) for a taken key."""
        owners = [self.table.keys.get(one, consumer.id) for one in consumer.key_hashes]
        taken = [index for index, owner in enumerate(owners) if owner != consumer.id]
        if taken:
            errors = [f"credentials[{index}] belongs to another consumer" for index in taken]
            raise ObjectRefused(errors, status=409)
        is_new = consumer.id not in self.table.consumers
        self.consumers.put(consumer.id, view)
        self.table = self.table.with_consumer(consumer)
        return is_new

    def delete_consumer(self, consumer_id: str) -> bool:
        """Forget a consumer; False when there is none."""
        if consumer_id not in self.table.consumers:
            return False
        self.table = self.table.without_consumer(consumer_id)
        self.consumers.remove(consumer_id)
        return True

    def _entry(self, policy_id: str) -> PolicyEntry | None:
        """A policy as it was sent: read again, for it is asked for only when its API changes."""
        content = self.policies.get(policy_id)
        if content is None:
            return None
        return entry_from_body(Body(json.loads(content) | {"id": policy_id}))

    def _compiled(self, table: RoutingTable, api_ids: Iterable[str]) -> RoutingTable:
        """The table with these APIs compiled anew from their routes' plans and their policies."""
        for api_id in api_ids:
            plans: dict[str, Plan] = {}
            for route_id in sorted(self._routes_of.of(api_id)):
                for plan in table.routes[route_id].plans:
                    plans.setdefault(plan.name, plan)
            entries = map(self._entry, self._policies_of.of(api_id))
            known = [entry for entry in entries if entry is not None]
            table = table.with_api(compile_api(api_id, interned(tuple(plans.values())), known))
        return table


def _planned(old: Route | None, new: Route | None) -> set[str]:
    """The APIs whose plans change when one route takes the place of another."""
    if old is not None and new is not None and (old.api_id, old.plans) == (new.api_id, new.plans):
        return set()
    return {route.api_id for route in (old, new) if route is not None and route.plans}
