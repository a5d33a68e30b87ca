"""`Store` over SQLite: every call runs on one thread, so that the loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from stoa_gitops.fleet.registration import MemberRecord
from stoa_gitops.model.conditions import Condition
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, Resource
from stoa_gitops.model.secret import Secret
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
from stoa_gitops.store.sqlite.blocking_store import BlockingStore
from stoa_gitops.store.sqlite.call_queue import CallQueue

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore:
    """Implements `stoa_gitops.store.Store`; see there for what each method does."""

    def __init__(self, store: BlockingStore, thread: ThreadPoolExecutor) -> None:
        self._store = store
        self._thread = thread
        self._calls = CallQueue(store, thread)

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        retention: Retention = Retention(),  # noqa: B008 - a frozen value is safe to share
    ) -> SqliteStore:
        """Open the store of a folder, made where it is missing; see `BlockingStore.open`."""
        # One worker: SQLite's connection belongs to the thread that opened it, and one queue keeps
        # the calls in order.
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            store = await asyncio.get_running_loop().run_in_executor(
                thread, lambda: BlockingStore.open(folder, clock=clock, retention=retention)
            )
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(store, thread)

    async def call(
        self,
        method: Callable[Concatenate[BlockingStore, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run one method on the thread of the store; raises what the method raises.

        It may run twice, where the commit that it shared fails: an iterator among its arguments
        would be empty then, and what it has would be taken for stored.
        A call that is cancelled while it waits for its turn does not run; one that runs is
        finished.
        """
        return await asyncio.wrap_future(
            self._calls.submit(lambda store: method(store, *args, **kwargs))
        )

    async def close(self) -> None:
        """Finish what is running, close the file and end the thread."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        except RuntimeError:  # a thread that was shut down takes no more work: closed already
            return
        self._thread.shutdown(wait=True)

    async def version(self) -> Version:
        """Return a value that stays equal until anybody writes."""
        return await self.call(BlockingStore.version)

    async def read_state(
        self,
        scope: Scope,
        known: StoredState | None = None,
        resources: Mapping[Key, Resource] = NO_RESOURCES,
    ) -> StoredState:
        """Return everything that planning needs of a gateway."""
        return await self.call(BlockingStore.read_state, scope, known, resources)

    async def load_records(self, scope: Scope) -> dict[Key, AppliedRecord]:
        """Return what was last applied in a scope, by key."""
        return await self.call(BlockingStore.load_records, scope)

    async def load_quarantine(self, scope: Scope) -> dict[Key, Quarantined]:
        """Return the objects that the gateway refused, by key."""
        return await self.call(BlockingStore.load_quarantine, scope)

    async def list_scopes(self, owner: str) -> list[Scope]:
        """Return an owner's scopes, sorted."""
        return await self.call(BlockingStore.list_scopes, owner)

    async def forget_gateway(self, owner: str, gateway: str, base_url: str | None = None) -> int:
        """Drop records, quarantine and base URL of a gateway; return the number of records."""
        return await self.call(BlockingStore.forget_gateway, owner, gateway, base_url)

    async def forget_objects(
        self, scope: Scope, keys: Iterable[Key], entries: Sequence[AuditEntry] = ()
    ) -> None:
        """Drop records and quarantine of some objects, and append to the audit trail."""
        await self.call(BlockingStore.forget_objects, scope, tuple(keys), entries)

    async def record_cycle(self, scope: Scope, entry: CycleEntry) -> int:
        """Write everything that a cycle leaves behind; return the cycle's number."""
        return await self.call(BlockingStore.record_cycle, scope, entry)

    async def list_cycles(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[Cycle]:
        """Return cycles, newest first."""
        return await self.call(BlockingStore.list_cycles, gateway, limit=limit, before=before)

    async def list_audit(
        self, gateway: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[AuditEntry]:
        """Return the audit trail, newest first."""
        return await self.call(BlockingStore.list_audit, gateway, limit=limit, before=before)

    async def append_audit(self, entries: Iterable[AuditEntry]) -> None:
        """Append to the audit trail."""
        await self.call(BlockingStore.append_audit, tuple(entries))

    async def load_conditions(self, subject: str) -> tuple[Condition, ...]:
        """Return the conditions of one subject, sorted by type."""
        return await self.call(BlockingStore.load_conditions, subject)

    async def load_conditions_of(self, subjects: Iterable[str]) -> dict[str, tuple[Condition, ...]]:
        """Return the conditions of several subjects by subject."""
        return await self.call(BlockingStore.load_conditions_of, tuple(subjects))

    async def save_conditions(
        self, subject: str, conditions: Iterable[Condition], entries: Sequence[AuditEntry] = ()
    ) -> tuple[Condition, ...]:
        """Write conditions and return all of the subject."""
        return await self.call(BlockingStore.save_conditions, subject, tuple(conditions), entries)

    async def read_published(self, gateway: str) -> PublishedRecord | None:
        """Return what was last published for a registered gateway."""
        return await self.call(BlockingStore.read_published, gateway)

    async def write_published(self, record: PublishedRecord) -> None:
        """Replace what was published for a gateway."""
        await self.call(BlockingStore.write_published, record)

    async def delete_published(self, gateway: str) -> None:
        """Drop what was published for a gateway."""
        await self.call(BlockingStore.delete_published, gateway)

    async def load_registrations(self) -> tuple[MemberRecord, ...]:
        """Return all registered gateways, sorted by name."""
        return await self.call(BlockingStore.load_registrations)

    async def save_registrations(
        self,
        records: Iterable[MemberRecord],
        removed: Iterable[str] = (),
        entries: Sequence[AuditEntry] = (),
    ) -> None:
        """Write registered gateways, delete some, and append to the audit trail."""
        await self.call(BlockingStore.save_registrations, tuple(records), tuple(removed), entries)

    async def acquire_lease(
        self, gateway: str, holder: str, ttl: timedelta, now: datetime
    ) -> Lease:
        """Take the right to write to a gateway; raises LeaseHeld."""
        return await self.call(BlockingStore.acquire_lease, gateway, holder, ttl, now)

    async def renew_lease(self, lease: Lease, ttl: timedelta, now: datetime) -> Lease:
        """Extend a lease; raises LeaseHeld where it was lost."""
        return await self.call(BlockingStore.renew_lease, lease, ttl, now)

    async def release_lease(self, lease: Lease) -> bool:
        """Give a lease back; False where it was lost before."""
        return await self.call(BlockingStore.release_lease, lease)

    async def hash_secrets(self, secrets: Mapping[str, Secret | None]) -> dict[str, str | None]:
        """Return keyed hashes by reference."""
        return await self.call(BlockingStore.hash_secrets, secrets)
