"""The SQLite store without a loop: blocking calls, for the thread that opened it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from stoa_gitops.fleet.registration import MemberRecord
from stoa_gitops.model.conditions import Condition
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, Resource
from stoa_gitops.model.secret import Secret
from stoa_gitops.store.folder import DATABASE_FILE, make_state_folder
from stoa_gitops.store.interface import NO_RESOURCES
from stoa_gitops.store.records import (
    AuditEntry,
    Cycle,
    CycleEntry,
    Lease,
    PublishedRecord,
    Quarantined,
    Retention,
    Scope,
    StoredState,
    Version,
    utc_now,
)
from stoa_gitops.store.secret_hmac import SecretHasher
from stoa_gitops.store.sharing import share_records
from stoa_gitops.store.sqlite import (
    audit,
    conditions,
    history,
    inventory,
    leases,
    published,
    registrations,
)
from stoa_gitops.store.sqlite.database import BUSY_TIMEOUT, Database, SqliteVersion
from stoa_gitops.store.sqlite.migrations import migrate
from stoa_gitops.store.sqlite.write_log import WriteLog


class BlockingStore:
    """One connection, used by the thread that opened it; several processes may each have one.

    The methods are those of `stoa_gitops.store.Store`, which says what each does. Every method
    raises StoreError with the next step; a write is stored whole or not at all.
    """

    def __init__(
        self,
        database: Database,
        hasher: SecretHasher,
        *,
        clock: Callable[[], datetime] = utc_now,
        retention: Retention = Retention(),  # noqa: B008 - a frozen value is safe to share
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._clock = clock
        self._retention = retention
        self._log = WriteLog()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        retention: Retention = Retention(),  # noqa: B008 - a frozen value is safe to share
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> BlockingStore:
        """Open the store of a folder, made (0700) where it is missing; its files are 0600.

        `clock` gives aware times, `busy_timeout` is in seconds. Raises StoreTooNew for a store that
        a later version wrote, StoreError for one that is damaged, another program's or out of
        reach; such a store is not modified.
        """
        make_state_folder(folder)
        database = Database(folder / DATABASE_FILE, busy_timeout=busy_timeout)
        try:
            migrate(database)
            database.use_write_ahead_log()
            hasher = SecretHasher.open(folder)
        except BaseException:
            database.close()
            raise
        return cls(database, hasher, clock=clock, retention=retention)

    def close(self) -> None:
        """Close the connection; leases stay until they are released or expire."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def together(self) -> AbstractContextManager[None]:
        """Commit what is written inside at once, at the end; raises StoreError, and keeps none.

        Calls that fail inside leave what others wrote.
        """
        return self._database.together()

    def version(self) -> SqliteVersion:
        """Return a value that stays equal until anybody writes, in this process or another."""
        return self._database.version()

    # one gateway, for planning

    def read_state(
        self,
        scope: Scope,
        known: StoredState | None = None,
        resources: Mapping[Key, Resource] = NO_RESOURCES,
    ) -> StoredState:
        """Return everything that planning needs of a gateway, or `known` while nobody wrote."""
        version = self.version()
        if known is not None and known.version == version and known.scope == scope:
            return known
        if known is not None and known.scope == scope:
            found = self.reload_records(scope, known.records, known.version)
            records = share_records(known.records, found, resources)
        else:
            records = share_records({}, self.load_records(scope), resources)
        cycles = self.list_cycles(scope.gateway, limit=1)
        base_url = self.last_base_url(scope.owner, scope.gateway)
        return StoredState(
            version,
            scope,
            records,
            self.load_quarantine(scope),
            base_url,
            self.load_conditions(scope.gateway),
            cycles[0].id if cycles else 0,
            inventory.other_owners(self._database, scope) if base_url is None else (),
        )

    def load_records(self, scope: Scope) -> dict[Key, AppliedRecord]:
        """Return what was last applied in a scope, by key."""
        return inventory.load_records(self._database, scope)

    def reload_records(
        self, scope: Scope, records: Mapping[Key, AppliedRecord], version: Version
    ) -> Mapping[Key, AppliedRecord]:
        """Return what `load_records` returns, given what it returned at a version.

        Reads what this connection wrote since, and the very mapping is returned where nothing of
        this scope was. After a write of another process everything is read.
        """
        keys = self._keys_written_since(version, scope)
        if keys is None:
            return self.load_records(scope)
        if not keys:
            return records
        kept = {key: record for key, record in records.items() if key not in keys}
        return kept | inventory.load_some_records(self._database, scope, keys)

    def _keys_written_since(self, version: Version, scope: Scope) -> frozenset[Key] | None:
        """Return the keys of a scope that changed since a version; None where that is unknown."""
        if not isinstance(version, SqliteVersion):
            return None  # another store's
        if self.version().data_version != version.data_version:
            return None  # another connection wrote, and does not say what
        return self._log.keys_since(version.total_changes, scope)

    def last_base_url(self, owner: str, gateway: str) -> str | None:
        """Return the base URL under which an owner last reconciled a gateway, None if never."""
        return inventory.last_base_url(self._database, owner, gateway)

    def load_quarantine(self, scope: Scope) -> dict[Key, Quarantined]:
        """Return the objects that the gateway refused, by key."""
        return inventory.load_quarantine(self._database, scope)

    def list_scopes(self, owner: str) -> list[Scope]:
        """Return an owner's scopes, sorted: with records, a quarantine, or only reconciled once."""
        return inventory.list_scopes(self._database, owner)

    def forget_gateway(self, owner: str, gateway: str, base_url: str | None = None) -> int:
        """Drop records, quarantine and base URL of a gateway; return the number of records."""
        with self._database.transaction():
            count = inventory.delete_gateway(self._database, owner, gateway, base_url)
        self._log_write(Scope(owner, gateway, base_url or ""), None)
        return count

    def forget_objects(
        self, scope: Scope, keys: Sequence[Key], entries: Iterable[AuditEntry] = ()
    ) -> None:
        """Drop records and quarantine of some objects, and append to the audit trail."""
        with self._database.transaction() as db:
            inventory.delete_records(db, scope, keys)
            audit.write_entries(db, entries, self._retention.audit)
        self._log_write(scope, keys)

    # history and audit trail

    def record_cycle(self, scope: Scope, entry: CycleEntry) -> int:
        """Write everything that a cycle leaves behind in one transaction; return its number."""
        now = self._clock()
        with self._database.transaction() as db:
            inventory.bind_base_url(db, scope, now)
            inventory.delete_records(db, scope, entry.removed)
            inventory.write_records(db, scope, entry.records, now)
            inventory.write_quarantine(db, scope, entry.quarantined)
            number = history.write_cycle(db, scope, entry, now, self._retention.cycles)
            entries = audit.entries_of(
                entry.outcomes, actor=entry.actor, gateway=scope.gateway, at=now
            )
            audit.write_entries(db, entries, self._retention.audit)
        self._log_write(scope, (*entry.removed, *(record.key for record in entry.records)))
        return number

    def _log_write(self, scope: Scope, keys: Iterable[Key] | None) -> None:
        self._log.add(self.version().total_changes, scope, keys)

    def list_cycles(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[Cycle]:
        """Return cycles, newest first; `before` is the number of the last one seen."""
        return history.read_cycles(self._database, gateway, limit=limit, before=before)

    def list_audit(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[AuditEntry]:
        """Return the audit trail, newest first; `before` is the id of the last entry seen."""
        return audit.read_entries(self._database, gateway, limit=limit, before=before)

    def append_audit(self, entries: Iterable[AuditEntry]) -> None:
        """Append to the audit trail."""
        with self._database.transaction() as db:
            audit.write_entries(db, entries, self._retention.audit)

    # conditions

    def load_conditions(self, subject: str) -> tuple[Condition, ...]:
        """Return the conditions of a gateway, or of `catalog`, sorted by type."""
        return conditions.read_conditions(self._database, subject)

    def load_conditions_of(self, subjects: Iterable[str]) -> dict[str, tuple[Condition, ...]]:
        """Return the conditions of several subjects by subject."""
        return {subject: self.load_conditions(subject) for subject in subjects}

    def save_conditions(
        self, subject: str, new: Iterable[Condition], entries: Sequence[AuditEntry] = ()
    ) -> tuple[Condition, ...]:
        """Write conditions, and entries of the audit trail with them; return all of the subject."""
        with self._database.transaction() as db:
            old = conditions.read_conditions(self._database, subject)
            conditions.write_conditions(db, subject, new, old)
            if entries:
                audit.write_entries(db, entries, self._retention.audit)
            return conditions.read_conditions(self._database, subject)

    # what gateways fetch

    def read_published(self, gateway: str) -> PublishedRecord | None:
        """Return what was last published for a registered gateway, None if nothing was."""
        return published.read_record(self._database, gateway)

    def write_published(self, record: PublishedRecord) -> None:
        """Replace what was published for a gateway."""
        with self._database.transaction() as db:
            published.write_record(db, record)

    def delete_published(self, gateway: str) -> None:
        """Drop what was published for a gateway."""
        with self._database.transaction() as db:
            published.delete_record(db, gateway)

    # gateways that registered themselves

    def load_registrations(self) -> tuple[MemberRecord, ...]:
        """Return all registered gateways, sorted by name."""
        return registrations.read_registrations(self._database)

    def save_registrations(
        self,
        records: Iterable[MemberRecord],
        removed: Iterable[str] = (),
        entries: Sequence[AuditEntry] = (),
    ) -> None:
        """Write registered gateways, delete some, and append to the audit trail; or nothing."""
        with self._database.transaction() as db:
            registrations.write_registrations(db, records)
            registrations.delete_registrations(db, removed)
            if entries:
                audit.write_entries(db, entries, self._retention.audit)

    # leases

    def acquire_lease(self, gateway: str, holder: str, ttl: timedelta, now: datetime) -> Lease:
        """Take the right to write to a gateway; raises LeaseHeld saying who has it."""
        return leases.acquire_lease(self._database, gateway, holder, ttl, now)

    def renew_lease(self, lease: Lease, ttl: timedelta, now: datetime) -> Lease:
        """Extend a lease; raises LeaseHeld where it was lost."""
        return leases.renew_lease(self._database, lease, ttl, now)

    def release_lease(self, lease: Lease) -> bool:
        """Give a lease back; False where it was lost before."""
        return leases.release_lease(self._database, lease)

    # secrets

    def hash_secrets(self, secrets: Mapping[str, Secret | None]) -> dict[str, str | None]:
        """Return keyed hashes by reference, None for secrets that did not resolve."""
        return {
            reference: None if secret is None else self._hasher.hash(secret)
            for reference, secret in secrets.items()
        }
