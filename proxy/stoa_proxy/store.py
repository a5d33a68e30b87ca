"""What the admin API has been told: the current table, and every object as it is read back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable

from stoa_proxy.errors import ObjectRefused
from stoa_proxy.model import Consumer, Plan, PolicyEntry, Route
from stoa_proxy.objects import View
from stoa_proxy.policies import compile_api
from stoa_proxy.table import Table


class Collection:
    """One list: the JSON of each object by id, and a tag that changes with every write."""

    def __init__(self, boot: str, kind: str) -> None:
        self._boot = f"{boot}-{kind}"
        self._generation = 0
        self._items: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._items)

    @property
    def etag(self) -> str:
        """A strong entity tag, quotes included."""
        return f'"{self._boot}-{self._generation}"'

    def get(self, item_id: str) -> bytes | None:
        """The JSON of one object."""
        return self._items.get(item_id)

    def listing(self) -> bytes:
        """The JSON array of all objects, sorted by id; not kept, for who asks again asks with the tag."""
        return b"[" + b",".join(self._items[key] for key in sorted(self._items)) + b"]"

    def put(self, item_id: str, view: View) -> None:
        """Store an object."""
        self._items[item_id] = json.dumps(view, separators=(",", ":")).encode()
        self._generation += 1

    def drop(self, item_id: str) -> None:
        """Forget an object; KeyError when there is none."""
        del self._items[item_id]
        self._generation += 1


class Store:
    """State of one process, in memory. Every write checks first, then swaps the table.

    Not for threads: all calls come from one event loop and none of them waits.
    """

    def __init__(self) -> None:
        boot = uuid.uuid4().hex[:12]
        self.table = Table()
        self.routes = Collection(boot, "r")
        self.policies = Collection(boot, "p")
        self.consumers = Collection(boot, "c")
        self._entries: dict[str, PolicyEntry] = {}
        self._policies_of: dict[str, set[str]] = {}
        self._routes_of: dict[str, set[str]] = {}

    def put_route(self, route: Route, view: View) -> bool:
        """Store a route; True when its id is new. Raises ObjectRefused for another's `api_id`."""
        for other_id in self._routes_of.get(route.api_id, set()) - {route.id}:
            if self.table.routes[other_id].tenant_id != route.tenant_id:
                raise ObjectRefused([f"api_id '{route.api_id}' belongs to another tenant"])
        old = self.table.routes.get(route.id)
        if old is not None:
            self._unlink(old)
        self._routes_of.setdefault(route.api_id, set()).add(route.id)
        table = self.table.with_route(route)
        api_ids = {route.api_id} if old is None else {route.api_id, old.api_id}
        self.table = self._compiled(table, api_ids)
        self.routes.put(route.id, view)
        return old is None

    def delete_route(self, route_id: str) -> bool:
        """Forget a route; False when there is none."""
        old = self.table.routes.get(route_id)
        if old is None:
            return False
        self._unlink(old)
        self.table = self._compiled(self.table.without_route(route_id), {old.api_id})
        self.routes.drop(route_id)
        return True

    def put_policy(self, entry: PolicyEntry, view: View) -> bool:
        """Store a policy; True when its id is new."""
        old = self._entries.get(entry.id)
        if old is not None:
            self._policies_of[old.api_id].discard(old.id)
        self._entries[entry.id] = entry
        self._policies_of.setdefault(entry.api_id, set()).add(entry.id)
        api_ids = {entry.api_id} if old is None else {entry.api_id, old.api_id}
        self.table = self._compiled(self.table, api_ids)
        self.policies.put(entry.id, view)
        return old is None

    def delete_policy(self, policy_id: str) -> bool:
        """Forget a policy; False when there is none."""
        old = self._entries.pop(policy_id, None)
        if old is None:
            return False
        self._policies_of[old.api_id].discard(old.id)
        self.table = self._compiled(self.table, {old.api_id})
        self.policies.drop(policy_id)
        return True

    def put_consumer(self, consumer: Consumer, view: View) -> bool:
        """Store a consumer; True when its id is new. Raises ObjectRefused (409) for a taken key."""
        owners = [self.table.keys.get(one, consumer.id) for one in consumer.key_hashes]
        taken = [index for index, owner in enumerate(owners) if owner != consumer.id]
        if taken:
            errors = [f"credentials[{index}] belongs to another consumer" for index in taken]
            raise ObjectRefused(errors, status=409)
        is_new = consumer.id not in self.table.consumers
        self.table = self.table.with_consumer(consumer)
        self.consumers.put(consumer.id, view)
        return is_new

    def delete_consumer(self, consumer_id: str) -> bool:
        """Forget a consumer; False when there is none."""
        if consumer_id not in self.table.consumers:
            return False
        self.table = self.table.without_consumer(consumer_id)
        self.consumers.drop(consumer_id)
        return True

    def _unlink(self, route: Route) -> None:
        siblings = self._routes_of[route.api_id]
        siblings.discard(route.id)
        if not siblings:
            del self._routes_of[route.api_id]

    def _compiled(self, table: Table, api_ids: Iterable[str]) -> Table:
        """The table with these APIs compiled anew from their routes' plans and their policies."""
        for api_id in api_ids:
            plans: dict[str, Plan] = {}
            for route_id in sorted(self._routes_of.get(api_id, ())):
                for plan in table.routes[route_id].plans:
                    plans.setdefault(plan.name, plan)
            entries = [self._entries[one] for one in self._policies_of.get(api_id, ())]
            table = table.with_api(compile_api(api_id, tuple(plans.values()), entries))
        return table
