"""What is kept of a gateway between two cycles, so that a cycle that finds nothing new costs little.

Everything here is found again without it: it is never written down, and a session without a memory does the same work
from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import AppliedRecord, DesiredState, Observed, Resource
from stoa_gitops.planning import (
    BrokenScope,
    InventoryUpdates,
    PlanState,
    next_expiry,
    secret_references,
)
from stoa_gitops.reconcile.suspension import suspended_in_store
from stoa_gitops.store import Quarantined, Scope, Store


@dataclass(frozen=True, slots=True)
class StoredState:
    """What the store knows of a gateway. `last_cycle` is the number of its newest cycle, 0 without any."""

    version: tuple[int, int]
    scope: Scope
    records: Mapping[Key, AppliedRecord]
    quarantined: Mapping[Key, Quarantined]
    base_url: str | None
    suspended: str
    last_cycle: int


_NOTHING: Mapping[Key, Resource] = {}


def recall(
    store: Store,
    scope: Scope,
    known: StoredState | None,
    resources: Mapping[Key, Resource] = _NOTHING,
) -> StoredState:
    """Read what the store knows, or return `known` while nobody has written; raises StoreError.

    Keys and specs that are equal to those of `resources` become the same objects.
    """
    version = store.version()
    if known is not None and known.version == version and known.scope == scope:
        return known
    if known is not None and known.scope == scope:
        found = store.reload(scope, known.records, known.version)
        records = _kept(known.records, found, resources)
    else:
        records = _kept({}, store.load(scope), resources)
    cycles = store.cycles(scope.gateway, limit=1)
    return StoredState(
        version,
        scope,
        records,
        store.quarantined(scope),
        store.known_base_url(scope.owner, scope.gateway),
        suspended_in_store(store, scope.gateway),
        cycles[0].id if cycles else 0,
    )


def _kept(
    before: Mapping[Key, AppliedRecord],
    after: Mapping[Key, AppliedRecord],
    resources: Mapping[Key, Resource],
) -> Mapping[Key, AppliedRecord]:
    """Return `after` with the very records of before where they are equal: the same object says that nothing moved."""
    if after is before:
        return before
    kept: dict[Key, AppliedRecord] = {}
    for key, record in after.items():
        old = before.get(key)
        if old is None or (old is not record and old != record):
            old = _shared(record, resources.get(key))
        kept[old.key] = old
    is_same = len(kept) == len(before) and all(one is before.get(key) for key, one in kept.items())
    return before if is_same else kept


def _shared(record: AppliedRecord, resource: Resource | None) -> AppliedRecord:
    """Return a record of the resource's own key and spec, where they are equal."""
    if resource is None:
        return record
    spec = resource.spec if resource.spec == record.spec else record.spec
    return replace(record, key=resource.key, spec=spec)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a plan is made from, but for the time.

    The large values are compared by identity: who hands in an equal copy only pays for planning once more.
    """

    resources: Mapping[Key, Resource]
    objects: tuple[Observed, ...]
    records: Mapping[Key, AppliedRecord]
    rest: tuple[object, ...]

    def is_same(self, other: Inputs) -> bool:
        """Whether a plan from the other inputs is a plan from these."""
        return (
            self.resources is other.resources
            and self.objects is other.objects
            and self.records is other.records
            and self.rest == other.rest
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and its upkeep, what they were made from, and until when they hold.

    `drawn` is what the next plan is made out of where only few keys have moved.
    """

    inputs: Inputs
    drawn: PlanState
    plan: Plan
    inventory_updates: InventoryUpdates
    since: datetime
    until: datetime | None

    def holds(self, inputs: Inputs, now: datetime) -> bool:
        """Whether planning again would give the same; a clock that went backwards says no."""
        is_in_time = self.since <= now and (self.until is None or now < self.until)
        return is_in_time and self.inputs.is_same(inputs)


@dataclass
class PlanCache:
    """Belongs to one gateway of one process. Sessions may share it: its values are replaced, never changed."""

    stored: StoredState | None = None
    planned: Planned | None = None
    _references: tuple[object, object, BrokenScope, frozenset[str]] | None = None
    _expiry: tuple[object, datetime, datetime | None] | None = field(default=None)

    def references(
        self, desired: DesiredState, records: Mapping[Key, AppliedRecord], broken: BrokenScope
    ) -> frozenset[str]:
        """Return the secret references that a plan needs."""
        known = self._references
        if (
            known is not None
            and known[0] is desired.resources
            and known[1] is records
            and known[2] == broken
        ):
            return known[3]
        found = secret_references(desired, records, broken)
        self._references = (desired.resources, records, broken, found)
        return found

    def expiry(self, desired: DesiredState, now: datetime) -> datetime | None:
        """Return when a subscription runs out next."""
        known = self._expiry
        if (
            known is not None
            and known[0] is desired.resources
            and known[1] <= now
            and (known[2] is None or now < known[2])
        ):
            return known[2]
        end = next_expiry(desired, now)
        self._expiry = (desired.resources, now, end)
        return end
