"""What the store knows of gateways, as documents: beside a running process, and where none runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.reconcile.suspension import SUSPENDED
from stoa_gitops.store import Cycle, Scope, Store

FAR = 100_000
"""More cycles than are kept of all gateways."""


@dataclass(frozen=True, slots=True)
class Remembered:
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


async def orphans(store: Store, owner: str, bound: Iterable[str]) -> dict[str, Remembered]:
    """Return, by name, gateways on which a catalog owns objects though it has no document of them."""
    known = set(bound)
    scopes = [s for s in await store.list_scopes(owner) if s.gateway not in known]
    found = {name: await one(store, name, scopes) for name in sorted({s.gateway for s in scopes})}
    return {name: known for name, known in found.items() if known.objects}


async def everything(store: Store, documents: Iterable[str] = ()) -> dict[str, Remembered]:
    """Return all gateways that the store knows objects or cycles of, and those with documents, by name."""
    cycles = await store.list_cycles(limit=FAR)
    scopes = [
        scope
        for owner in sorted({cycle.scope.owner for cycle in cycles})
        for scope in await store.list_scopes(owner)
    ]
    cycled = {cycle.scope.gateway for cycle in cycles}
    names = sorted({s.gateway for s in scopes} | cycled | set(documents))
    return {name: await one(store, name, scopes) for name in names}


async def one(store: Store, name: str, scopes: Iterable[Scope]) -> Remembered:
    """Return what is known of one gateway; `scopes` may hold those of others, too."""
    known = tuple(scope for scope in scopes if scope.gateway == name)
    cycles = await store.list_cycles(name, limit=1)
    objects = 0
    for scope in known:
        objects += len(await store.load_records(scope))
    conditions = await store.load_conditions(name)
    return Remembered(name, known, objects, conditions, cycles[0] if cycles else None)


async def quarantined(store: Store, scopes: Iterable[Scope]) -> list[JsonObject]:
    """Return what is set aside on a gateway, sorted by key."""
    found = [entry for scope in scopes for entry in (await store.load_quarantine(scope)).values()]
    return [
        {
            "key": str(entry.key),
            "words": entry.message,
            "since": entry.since.isoformat(),
            "source": _place(entry.source),
        }
        for entry in sorted(found, key=lambda entry: entry.key)
    ]


def _place(source: SourceRef | None) -> JsonObject | None:
    if source is None:
        return None
    return {"path": source.path, "line": source.line, "column": source.column}


def item(known: Remembered, document: GatewayInstance | None = None) -> JsonObject:
    """Return a gateway of the store in the form of the status; what only a running process knows is null.

    `document` is the gateway as the catalog has it, None for one that is orphaned.
    """
    is_stopped = document is not None and document.suspended
    return {
        "name": known.name,
        "type": document.gateway_type if document else None,
        "environment": document.environment if document else None,
        "status": "OFFLINE",
        "bound": document is not None,
        "suspended": is_stopped or is_suspended(known.conditions),
        "revision": known.last.revision if known.last else None,
        "cycles": 0,
        "recap": None,
        "conditions": [condition_tree(condition) for condition in known.conditions],
    }


def is_suspended(conditions: Iterable[Condition]) -> bool:
    """Whether a person suspended a gateway."""
    return any(c.type == SUSPENDED and c.status is ConditionStatus.TRUE for c in conditions)


def condition_tree(condition: Condition) -> JsonObject:
    """Return a condition as a document."""
    return {
        "type": condition.type,
        "status": condition.status.value,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransition": condition.last_transition.isoformat(),
    }


def cycle_tree(cycle: Cycle | None) -> JsonObject | None:
    """Return a cycle of the past as a document."""
    if cycle is None:
        return None
    counts: Mapping[str, int] = cycle.counts
    return {
        "revision": cycle.revision,
        "digest": cycle.digest,
        "actor": cycle.actor,
        "startedAt": cycle.started_at.isoformat(),
        "finishedAt": cycle.finished_at.isoformat(),
        "error": cycle.error,
        "outcomes": dict(counts),
    }
