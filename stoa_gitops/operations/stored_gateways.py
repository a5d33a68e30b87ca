"""Gateways as the store knows them: beside a running process, and where none runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stoa_gitops.fleet.binding import bind
from stoa_gitops.fleet.registration import MemberRecord
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.reconcile.suspension import SUSPENDED
from stoa_gitops.store import Cycle, Scope, Store

ALL_CYCLES: Final = 100_000
"""More cycles than the store keeps of all gateways together, so that none is missed."""


@dataclass(frozen=True, slots=True)
class StoredGateway:
    """One gateway of the store; `scopes` are several where its base URL or its catalog changed."""

    name: str
    scopes: tuple[Scope, ...]
    objects: int
    conditions: tuple[Condition, ...]
    last: Cycle | None

    @property
    def owners(self) -> tuple[str, ...]:
        """The catalogs whose objects are there."""
        return tuple(sorted({scope.owner for scope in self.scopes}))


async def load_orphans(store: Store, owner: str, bound: Iterable[str]) -> dict[str, StoredGateway]:
    """Return, by name, gateways on which a catalog owns objects but has no document of."""
    names = set(bound)
    scopes = [s for s in await store.list_scopes(owner) if s.gateway not in names]
    orphans = [await load_gateway(store, s, scopes) for s in sorted({s.gateway for s in scopes})]
    # One that is empty is of no interest to anybody: nothing is left there to prune or forget.
    return {gateway.name: gateway for gateway in orphans if gateway.objects}


async def load_gateways(store: Store, documents: Iterable[str] = ()) -> dict[str, StoredGateway]:
    """Return, by name, all gateways that the store knows, and those with documents."""
    # Scopes are listed by owner, and only cycles tell which owners there are.
    cycles = await store.list_cycles(limit=ALL_CYCLES)
    scopes = [
        scope
        for owner in sorted({cycle.scope.owner for cycle in cycles})
        for scope in await store.list_scopes(owner)
    ]
    cycled = {cycle.scope.gateway for cycle in cycles}
    names = sorted({s.gateway for s in scopes} | cycled | set(documents))
    return {name: await load_gateway(store, name, scopes) for name in names}


async def load_gateway(store: Store, name: str, scopes: Iterable[Scope]) -> StoredGateway:
    """Return one gateway; `scopes` may hold those of others, too. Raises StoreError."""
    own = tuple(scope for scope in scopes if scope.gateway == name)
    cycles = await store.list_cycles(name, limit=1)
    objects = 0
    for scope in own:
        objects += len(await store.load_records(scope))
    conditions = await store.load_conditions(name)
    return StoredGateway(name, own, objects, conditions, cycles[0] if cycles else None)


@dataclass(frozen=True, slots=True)
class StoredRegistration:
    """A registered gateway of the store, and the document that takes it, if one does."""

    record: MemberRecord
    document: GatewayInstance | None


async def load_registered(
    store: Store, documents: Iterable[GatewayInstance]
) -> dict[str, StoredRegistration]:
    """Return, by their names in plans, the gateways that registered. Raises StoreError."""
    records = {one.registration.id: one for one in await store.load_registrations()}
    bindings = bind(documents, [record.registration for record in records.values()])
    found = {}
    for gateway_id, record in records.items():
        binding = bindings.bound.get(gateway_id)
        name = binding.name if binding else record.registration.name
        found[name] = StoredRegistration(record, binding.document if binding else None)
    return found


def is_suspended_by_person(conditions: Iterable[Condition]) -> bool:
    """Whether a person suspended a gateway."""
    return any(c.type == SUSPENDED and c.status is ConditionStatus.TRUE for c in conditions)
