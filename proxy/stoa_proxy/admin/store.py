"""The state that the admin API writes: the routing table, and every object as it is read back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from copy import copy
from itertools import chain
from typing import NamedTuple

from stoa_proxy.admin.changes import (
    ApiMembership,
    Changes,
    check_keys,
    check_owners,
    check_tenants,
)
from stoa_proxy.admin.checks import View
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.object_list import ObjectList
from stoa_proxy.admin.policies import entry_from_body
from stoa_proxy.core.api import Api
from stoa_proxy.core.model import Consumer, Plan, PolicyEntry, Route
from stoa_proxy.core.policy import Wrap, unwrapped
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import Match
from stoa_proxy.foundation.interning import interned
from stoa_proxy.policies import POLICIES
from stoa_proxy.policies.registry import PolicyRegistry


class TableSource(NamedTuple):
    """The published table that a store holds, and nothing else: its entity tag and generation.

    Not `is_whole` where objects of it were refused: another start may have other rules.
    """

    etag: str
    generation: int
    is_whole: bool = True


class Store:
    """State of one process, in memory. Every write checks first, then swaps the table once.

    So no request meets a part of a change, whatever it consists of. Not for threads: all calls
    come from one event loop and none of them waits. `default` takes requests that no route is for;
    policies may name it, and nothing else changes or shows it.
    """

    def __init__(
        self, policy_types: PolicyRegistry = POLICIES, default: Route | None = None
    ) -> None:
        # Part of each entity tag, so that one of before a restart is not taken for a current one.
        boot = _make_tag()
        self.policy_types = policy_types
        self.table = RoutingTable(default=None if default is None else Match(0, (default,)))
        self.routes = ObjectList(f"{boot}-r")
        self.policies = ObjectList(f"{boot}-p")
        self.consumers = ObjectList(f"{boot}-c")
        self._routes_of = ApiMembership()
        # By what they name: an API, or a route whose API is meant.
        self._policies_of = ApiMembership()
        # Who wants to know of changes, by name.
        self.on_change: dict[str, Callable[[], None]] = {}
        # Each change since whoever copies them (`replication`) took the last; None: nobody does.
        self.changes: list[Changes] | None = None
        # Waits until they have them all.
        self.settle: Callable[[], Awaitable[None]] | None = None
        # Only as long as nobody else changes anything.
        self.source: TableSource | None = None
        self._unattached: tuple[tuple[str, str], tuple[str, ...]] | None = None

    def put_route(self, route: Route, view: View) -> bool:
        """Store a route; True when its id is new. Raises ObjectRefused as `change` does."""
        is_new = route.id not in self.table.routes
        self.change(Changes(routes=((route, view),)))
        return is_new

    def delete_route(self, route_id: str) -> bool:
        """Remove a route; False when there is none."""
        is_known = route_id in self.table.routes
        self.change(Changes(without_routes=(route_id,)))
        return is_known

    def put_policy(self, entry: PolicyEntry, view: View) -> bool:
        """Store a policy; True when its id is new."""
        is_new = entry.id not in self.policies
        self.change(Changes(policies=((entry, view),)))
        return is_new

    def delete_policy(self, policy_id: str) -> bool:
        """Remove a policy; False when there is none."""
        is_known = policy_id in self.policies
        self.change(Changes(without_policies=(policy_id,)))
        return is_known

    def put_consumer(self, consumer: Consumer, view: View) -> bool:
        """Store a consumer; True when its id is new. Raises ObjectRefused as `change` does."""
        is_new = consumer.id not in self.table.consumers
        self.change(Changes(consumers=((consumer, view),)))
        return is_new

    def delete_consumer(self, consumer_id: str) -> bool:
        """Remove a consumer; False when there is none."""
        is_known = consumer_id in self.table.consumers
        self.change(Changes(without_consumers=(consumer_id,)))
        return is_known

    def change(self, changes: Changes) -> None:
        """Carry out changes as one. Ids that are to go and are not there count as gone.

        Raises ObjectRefused, before anything changed: for the `api_id` of another tenant, and
        (409) for requests that another tenant's route answers, and a key that belongs to another
        consumer.
        """
        check_tenants(changes, self.table, self._routes_of)
        check_owners(changes, self.table)
        check_keys(changes, self.table)
        table, api_ids = self._change_routes(self.table, changes)
        api_ids |= self._change_policies(table, changes)
        self.table = self._compile(self._change_consumers(table, changes), api_ids)
        self.source = None
        if self.changes is not None:
            self.changes.append(changes)
        self._tell_change()

    @property
    def version(self) -> tuple[str, str, str]:
        """What differs after each change of an object."""
        return self.routes.etag, self.policies.etag, self.consumers.etag

    def copy(self) -> Store:
        """Return a store of the same objects, to be changed aside and adopted.

        2 ms for 10,000 APIs: what it holds is shared until it changes.
        """
        draft = copy(self)
        for name in ("routes", "policies", "consumers", "_routes_of", "_policies_of"):
            setattr(draft, name, getattr(self, name).copy())
        draft.on_change = {}
        draft.changes = None if self.changes is None else []
        return draft

    def fork(self) -> Store:
        """Return a store of the same objects that goes its own way: both may change.

        What it holds is shared as in a `copy`; the entity tags of its lists are its own.
        """
        other, tag = self.copy(), _make_tag()
        other.routes = self.routes.copy(f"{tag}-r")
        other.policies = self.policies.copy(f"{tag}-p")
        other.consumers = self.consumers.copy(f"{tag}-c")
        return other

    def adopt(self, draft: Store, source: TableSource | None) -> Iterator[object]:
        """Become what a copy of this store has become, as one change; return what it was made of.

        This store must not have changed since it was copied: compare its `version`. Where much has
        changed what is returned is a lot to free in one go (`foundation.breather.let_go`).
        """
        remains = self.parts()
        self.table = draft.table
        self.routes.adopt(draft.routes)
        self.policies.adopt(draft.policies)
        self.consumers.adopt(draft.consumers)
        self._routes_of, self._policies_of = draft._routes_of, draft._policies_of
        self._unattached = None
        self.source = source
        if self.changes is not None:
            self.changes += draft.changes or ()
        self._tell_change()
        return remains

    def parts(self) -> Iterator[object]:
        """Return what this store is made of now, what holds others before these."""
        lists = (self.routes, self.policies, self.consumers)
        members = (self._routes_of.parts(), self._policies_of.parts())
        return chain(self.table.parts(), *(one.parts() for one in lists), *members)

    def _tell_change(self) -> None:
        for tell in self.on_change.values():
            tell()

    @property
    def apis_count(self) -> int:
        """How many APIs have routes."""
        return len(self._routes_of)

    def has_api(self, api_id: str) -> bool:
        """Whether an API has routes, or is what takes all other requests."""
        return bool(self._routes_of.ids_of(api_id)) or self._is_default(api_id)

    def unattached_policies(self) -> tuple[str, ...]:
        """Return the ids of policies that name neither an API nor a route, sorted."""
        version = (self.routes.etag, self.policies.etag)
        if self._unattached is None or self._unattached[0] != version:
            found = [
                policy_id
                for name, ids in self._policies_of
                if name not in self.table.routes
                and not self._routes_of.ids_of(name)
                and not self._is_default(name)
                for policy_id in ids
            ]
            self._unattached = version, tuple(sorted(found))
        return self._unattached[1]

    def _is_default(self, name: str) -> bool:
        default = self.table.default
        return default is not None and default.routes[0].api_id == name

    def _change_routes(
        self, table: RoutingTable, changes: Changes
    ) -> tuple[RoutingTable, set[str]]:
        """Return the table with other routes, and the APIs that have to be compiled for it."""
        api_ids: set[str] = set()
        for route_id in changes.without_routes:
            old = table.routes.get(route_id)
            if old is not None:
                table = table.without_route(route_id)
                self._routes_of.move(route_id, old.api_id, None)
                self.routes.remove(route_id)
                api_ids |= self._apis_to_compile(old, None)
        for route, view in changes.routes:
            old = table.routes.get(route.id)
            table = table.with_route(route)
            self.routes.put(route.id, view)
            self._routes_of.move(route.id, None if old is None else old.api_id, route.api_id)
            api_ids |= self._apis_to_compile(old, route)
        return table, api_ids

    def _change_policies(self, table: RoutingTable, changes: Changes) -> set[str]:
        """Store and remove policies; return the APIs that have to be compiled for it."""
        names: set[str] = set()
        for policy_id in changes.without_policies:
            old = self._read_entry(policy_id)
            if old is not None:
                self._policies_of.move(policy_id, old.api_id, None)
                self.policies.remove(policy_id)
                names.add(old.api_id)
        for entry, view in changes.policies:
            old = self._read_entry(entry.id)
            self.policies.put(entry.id, view)
            self._policies_of.move(entry.id, None if old is None else old.api_id, entry.api_id)
            names |= {entry.api_id} if old is None else {entry.api_id, old.api_id}
        named = {table.routes[name].api_id for name in names if name in table.routes}
        return names | named

    def _change_consumers(self, table: RoutingTable, changes: Changes) -> RoutingTable:
        for consumer_id in changes.without_consumers:
            if consumer_id in table.consumers:
                table = table.without_consumer(consumer_id)
                self.consumers.remove(consumer_id)
        # All keys go before the first comes: one may pass from one consumer to another.
        for consumer, _ in changes.consumers:
            if consumer.id in table.consumers:
                table = table.without_consumer(consumer.id)
        for consumer, view in changes.consumers:
            table = table.with_consumer(consumer)
            self.consumers.put(consumer.id, view)
        return table

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
            table = table.with_api(self._compile_api(table, api_id))
        return table

    def compile_wrapped(self, api_id: str, wrap: Wrap) -> Api:
        """Return an API of the table with what `wrap` returns in place of each policy."""
        return self._compile_api(self.table, api_id, wrap)

    def _compile_api(self, table: RoutingTable, api_id: str, wrap: Wrap = unwrapped) -> Api:
        plans: dict[str, Plan] = {}
        # Sorted: of two plans with one name the route with the lowest id decides.
        route_ids = sorted(self._routes_of.ids_of(api_id))
        for route_id in route_ids:
            for plan in table.routes[route_id].plans:
                plans.setdefault(plan.name, plan)
        names = dict.fromkeys((api_id, *route_ids))
        stored = [self._read_entry(one) for name in names for one in self._policies_of.ids_of(name)]
        entries = [entry for entry in stored if entry is not None]
        known = interned(tuple(plans.values()))
        return self.policy_types.compile_api(api_id, known, entries, wrap)

    def _apis_to_compile(self, old: Route | None, new: Route | None) -> set[str]:
        """Return the APIs that change when one route takes the place of another.

        By their plans, and by policies that name the route.
        """
        routes = [route for route in (old, new) if route is not None]
        if len({(route.api_id, route.plans) for route in routes}) == 1 and len(routes) == 2:
            return set()
        return {
            route.api_id for route in routes if route.plans or self._policies_of.ids_of(route.id)
        }


def _make_tag() -> str:
    return uuid.uuid4().hex[:12]
