"""The store: what this program has to remember, in one folder. Blocking; see `AsyncStore` for the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stoa_gitops.model.conditions import Condition
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.model.secret import Secret
from stoa_gitops.store import audit, conditions, history, inventory, leases
from stoa_gitops.store.database import BUSY_TIMEOUT, Database, make_folder
from stoa_gitops.store.migrations import migrate
from stoa_gitops.store.records import (
    AuditEntry,
    Cycle,
    CycleEntry,
    Lease,
    PastOutcome,
    Quarantined,
    Retention,
    Scope,
)
from stoa_gitops.store.secret_hmac import Fingerprints
from stoa_gitops.store.write_log import WriteLog

FILE: Final = "state.db"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """One connection, used by the thread that opened it; several processes may each have one.

    Every method raises StoreError with the next step in words; a write is stored whole or not at all.
    """

    def __init__(
        self,
        database: Database,
        fingerprints: Fingerprints,
        *,
        clock: Callable[[], datetime] = _utc_now,
        retention: Retention = Retention(),  # noqa: B008 - frozen
    ) -> None:
        self._database = database
        self._fingerprints = fingerprints
        self._clock = clock
        self._retention = retention
        self._log = WriteLog()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        clock: Callable[[], datetime] = _utc_now,
        retention: Retention = Retention(),  # noqa: B008 - frozen
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> Store:
        """Open the store of a folder, made (0700) where it is missing; its files are 0600.

        `clock` gives aware times, `busy_timeout` is in seconds. Raises StoreTooNew for one that a later
        version wrote, StoreError for one that is damaged, foreign or out of reach; it is not touched then.
        """
        make_folder(folder)
        database = Database(folder / FILE, busy_timeout=busy_timeout)
        try:
            migrate(database)
            database.use_write_ahead_log()
            fingerprints = Fingerprints.open(folder)
        except BaseException:
            database.close()
            raise
        return cls(database, fingerprints, clock=clock, retention=retention)

    def close(self) -> None:
        """Close the connection; leases stay until they are released or run out."""
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

    def version(self) -> tuple[int, int]:
        """Return a value that is equal as long as nobody wrote, in this process or another one."""
        return self._database.version()

    # inventory

    def load(self, scope: Scope) -> dict[Key, AppliedRecord]:
        """Return what was last applied in a scope, by key."""
        return inventory.load(self._database, scope)

    def reload(
        self, scope: Scope, records: Mapping[Key, AppliedRecord], version: tuple[int, int]
    ) -> Mapping[Key, AppliedRecord]:
        """Return what `load` returns, given what it returned at a version: reads what was written since.

        The very mapping where nothing of this scope was. After a write of another process everything is read.
        """
        keys = self._log.since(version[1], scope) if self.version()[0] == version[0] else None
        if keys is None:
            return self.load(scope)
        if not keys:
            return records
        kept = {key: record for key, record in records.items() if key not in keys}
        return kept | inventory.load_keys(self._database, scope, keys)

    def record(self, scope: Scope, entry: CycleEntry) -> int:
        """Write everything that a cycle leaves behind in one transaction; return the cycle's number.

        Binds the gateway to the base URL of the scope: check `known_base_url` before working a gateway.
        """
        now = self._clock()
        with self._database.transaction() as db:
            inventory.bind(db, scope, now)
            inventory.remove(db, scope, entry.removed)
            inventory.write(db, scope, entry.records, now)
            inventory.quarantine(db, scope, entry.quarantined)
            number = history.write(db, scope, entry, now, self._retention.cycles)
            entries = audit.of_outcomes(
                entry.outcomes, actor=entry.actor, gateway=scope.gateway, at=now
            )
            audit.write(db, entries, self._retention.audit)
        self._note(scope, (*entry.removed, *(record.key for record in entry.records)))
        return number

    def remember(
        self, scope: Scope, records: Iterable[AppliedRecord], removed: Iterable[Key] = ()
    ) -> None:
        """Write and drop records outside a cycle: the upkeep of a gateway that matched."""
        now = self._clock()
        records, removed = tuple(records), tuple(removed)
        with self._database.transaction() as db:
            inventory.bind(db, scope, now)
            inventory.remove(db, scope, removed)
            inventory.write(db, scope, records, now)
        self._note(scope, (*removed, *(record.key for record in records)))

    def _note(self, scope: Scope, keys: Iterable[Key] | None) -> None:
        self._log.add(self.version()[1], scope, keys)

    def known_base_url(self, owner: str, gateway: str) -> str | None:
        """Return the base URL under which an owner last worked a gateway, None if never."""
        return inventory.known_base_url(self._database, owner, gateway)

    def scopes(self, owner: str) -> list[Scope]:
        """Return the scopes of an owner, sorted: with records, with a quarantine, or only worked once."""
        return inventory.scopes(self._database, owner)

    def forget(self, owner: str, gateway: str, base_url: str | None = None) -> int:
        """Drop records, quarantine and binding of a gateway; return the number of records. History stays."""
        with self._database.transaction():
            count = inventory.forget(self._database, owner, gateway, base_url)
        self._note(Scope(owner, gateway, base_url or ""), None)
        return count

    # quarantine

    def quarantined(self, scope: Scope) -> dict[Key, Quarantined]:
        """Return the objects that are set aside, by key."""
        return inventory.quarantined(self._database, scope)

    def release_quarantine(self, scope: Scope, keys: Iterable[Key] | None = None) -> int:
        """Lift the quarantine of these keys or of all; return how many there were."""
        with self._database.transaction():
            return inventory.release(self._database, scope, keys)

    # history

    def cycles(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[Cycle]:
        """Return cycles, newest first; `before` is the number of the last one seen."""
        return history.cycles(self._database, gateway, limit=limit, before=before)

    def outcomes(self, cycle: int) -> list[PastOutcome]:
        """Return the outcomes of a cycle in the order applied; empty for one that is not kept."""
        return history.outcomes(self._database, cycle)

    def audit(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[AuditEntry]:
        """Return the audit trail, newest first; `before` is the id of the last entry seen."""
        return audit.read(self._database, gateway, limit=limit, before=before)

    def add_audit(self, entries: Iterable[AuditEntry]) -> None:
        """Append to the audit trail: registrations, forced plans, adoptions."""
        with self._database.transaction() as db:
            audit.write(db, entries, self._retention.audit)

    # conditions

    def conditions(self, subject: str) -> tuple[Condition, ...]:
        """Return the conditions of a gateway, or of `catalog`, sorted by type."""
        return conditions.read(self._database, subject)

    def set_conditions(
        self, subject: str, new: Iterable[Condition], entries: Sequence[AuditEntry] = ()
    ) -> tuple[Condition, ...]:
        """Write conditions and return all of the subject; times move only where the status did.

        `entries` of the audit trail, who asked for them, are written with them or not at all.
        """
        with self._database.transaction() as db:
            conditions.write(db, subject, new, conditions.read(self._database, subject))
            if entries:
                audit.write(db, entries, self._retention.audit)
            return conditions.read(self._database, subject)

    # leases

    def acquire(self, gateway: str, holder: str, ttl: timedelta, now: datetime) -> Lease:
        """Take the right to write to a gateway; raises LeaseHeld saying who has it, since when and where."""
        return leases.acquire(self._database, gateway, holder, ttl, now)

    def renew(self, lease: Lease, ttl: timedelta, now: datetime) -> Lease:
        """Extend a lease; raises LeaseHeld when it is not ours any more: stop writing then."""
        return leases.renew(self._database, lease, ttl, now)

    def release(self, lease: Lease) -> bool:
        """Give a lease back; False where it was not ours any more."""
        return leases.release(self._database, lease)

    def leases(self) -> list[Lease]:
        """Return every lease, also those that ran out."""
        return leases.read(self._database)

    # fingerprints

    def fingerprint(self, secret: Secret | str) -> str:
        """Return the keyed hash of a secret, 64 hex digits."""
        return self._fingerprints.of(secret)

    def fingerprints(self, secrets: Mapping[str, Secret | None]) -> dict[str, str | None]:
        """Return the hashes of secrets by reference, None for those that did not resolve."""
        return {
            reference: None if secret is None else self.fingerprint(secret)
            for reference, secret in secrets.items()
        }
