"""The store as the rest of the program sees it: a protocol with one method per use.

A store is implemented in a folder of its own (`store/sqlite`) and passes the contract tests in
`tests/unit/store/test_contract.py`. Only the composition root names an implementation.

Rules for every implementation: what a method writes is stored whole or not at all, also when the
process is killed; calls take effect in the order in which they were made; every method raises
StoreError with a message that says what to do; times are aware; messages are cut to
`MESSAGE_LIMIT`.
A call that is cancelled before it started does not run; one that runs is finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol

from stoa_gitops.fleet.registration import MemberRecord
from stoa_gitops.model.conditions import Condition
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, Resource
from stoa_gitops.model.secret import Secret
from stoa_gitops.store.records import (
    AuditEntry,
    Cycle,
    CycleEntry,
    Lease,
    PublishedRecord,
    Quarantined,
    Scope,
    StoredState,
    UsageFilter,
    UsageRow,
    Version,
)

NO_RESOURCES: Final[Mapping[Key, Resource]] = MappingProxyType({})


class Store(Protocol):
    """What is remembered between cycles and restarts. Methods raise StoreError.

    state = await store.read_state(scope)
    lease = await store.acquire_lease(gateway, holder, ttl, now)
    number = await store.record_cycle(scope, entry)
    await store.release_lease(lease)
    """

    async def close(self) -> None:
        """Finish what is running and close; leases stay until released or expired.

        A second call does nothing.
        """

    async def version(self) -> Version:
        """Return a value that stays equal until anybody writes, in this process or another."""

    # one gateway, for planning

    async def read_state(
        self,
        scope: Scope,
        known: StoredState | None = None,
        resources: Mapping[Key, Resource] = NO_RESOURCES,
    ) -> StoredState:
        """Return everything that planning needs of a gateway, read at one version.

        Returns `known` itself while nobody has written since; after a write, records that are
        equal to those of `known` are the same objects, and only what was written is read again
        where the store can tell. New records share key and spec with equal ones of `resources`.
        """

    async def load_records(self, scope: Scope) -> dict[Key, AppliedRecord]:
        """Return what was last applied in a scope, by key."""

    async def load_quarantine(self, scope: Scope) -> dict[Key, Quarantined]:
        """Return the objects that the gateway refused, by key."""

    async def list_scopes(self, owner: str) -> list[Scope]:
        """Return an owner's scopes, sorted: with records, a quarantine, or only reconciled once."""

    async def forget_gateway(self, owner: str, gateway: str, base_url: str | None = None) -> int:
        """Drop records, quarantine and base URL of a gateway; return the number of records.

        Without `base_url` those under every base URL. History and audit trail stay.
        """

    async def forget_objects(
        self, scope: Scope, keys: Iterable[Key], entries: Sequence[AuditEntry] = ()
    ) -> None:
        """Drop records and quarantine of some objects, and append to the audit trail.

        All of it or nothing; keys without either are passed over.
        """

    # history and audit trail

    async def record_cycle(self, scope: Scope, entry: CycleEntry) -> int:
        """Write everything that a cycle leaves behind; return the cycle's number.

        Binds the gateway to the base URL of the scope. A record lifts the quarantine of its key.
        """

    async def list_cycles(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[Cycle]:
        """Return cycles, newest first; `before` is the number of the last one seen."""

    async def list_audit(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[AuditEntry]:
        """Return the audit trail, newest first; `before` is the id of the last entry seen."""

    async def append_audit(self, entries: Iterable[AuditEntry]) -> None:
        """Append to the audit trail: registrations, forced plans, adoptions."""

    # conditions

    async def load_conditions(self, subject: str) -> tuple[Condition, ...]:
        """Return the conditions of a gateway, or of `catalog`, sorted by type."""

    async def load_conditions_of(self, subjects: Iterable[str]) -> dict[str, tuple[Condition, ...]]:
        """Return the conditions of several subjects by subject; empty where there are none."""

    async def save_conditions(
        self, subject: str, conditions: Iterable[Condition], entries: Sequence[AuditEntry] = ()
    ) -> tuple[Condition, ...]:
        """Write conditions and return all of the subject.

        `last_transition` moves only where the status did. `entries` of the audit trail, saying who
        asked for it, are written with the conditions or not at all.
        """

    # what gateways fetch

    async def read_published(self, gateway: str) -> PublishedRecord | None:
        """Return what was last published for a registered gateway, None if nothing was."""

    async def write_published(self, record: PublishedRecord) -> None:
        """Replace what was published for a gateway."""

    async def delete_published(self, gateway: str) -> None:
        """Drop what was published for a gateway; nothing happens where nothing was."""

    # gateways that registered themselves

    async def load_registrations(self) -> tuple[MemberRecord, ...]:
        """Return all registered gateways, sorted by name."""

    async def save_registrations(
        self,
        records: Iterable[MemberRecord],
        removed: Iterable[str] = (),
        entries: Sequence[AuditEntry] = (),
    ) -> None:
        """Write registered gateways, delete those with the ids `removed`, append to the trail.

        All of it or nothing.
        """

    # leases

    async def acquire_lease(
        self, gateway: str, holder: str, ttl: timedelta, now: datetime
    ) -> Lease:
        """Take the right to write to a gateway; raises LeaseHeld naming its holder, since when.

        A lease whose holder is known to be dead may be taken at once; others have to expire.
        """

    async def renew_lease(self, lease: Lease, ttl: timedelta, now: datetime) -> Lease:
        """Extend a lease; raises LeaseHeld where it was lost: the caller must stop writing."""

    async def release_lease(self, lease: Lease) -> bool:
        """Give a lease back; False where it was lost before, which changes nothing."""

    # secrets

    async def hash_secrets(self, secrets: Mapping[str, Secret | None]) -> dict[str, str | None]:
        """Return keyed hashes (64 hex digits) by reference, None for what did not resolve.

        Equal secrets have equal hashes for the life of the store, and for nobody without its key.
        """


class UsageLedger(Protocol):
    """What registered gateways counted. Methods raise StoreError."""

    async def close(self) -> None:
        """Finish what is running and close."""

    async def take(
        self,
        gateway: str,
        source: str,
        rows: Sequence[UsageRow],
        forget_before: int,
        most_of_an_hour: int,
    ) -> int:
        """Keep the sums of a report and drop hours before `forget_before`, both or neither.

        Of rows with which a gateway would have more than `most_of_an_hour` of one hour, those that
        it has are kept, and further ones up to the bound; return how many are not.

        `source` is what counted: another one of the same gateway adds up with it. Of one source a
        row replaces that of the same hour and ids; taking it again, or an older one, is nothing.
        """

    async def read(self, asked: UsageFilter) -> list[UsageRow]:
        """Return rows of all gateways, added up, in the order of their hour and ids."""

    async def has_rows(self) -> bool:
        """Whether any gateway has reported what is kept."""
