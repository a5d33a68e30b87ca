"""`history`, `audit` and `events`: what was done, by whom, and what it came to.

Documents are mappings as `schemas/output` has them. They hold no secret: the store has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stoa_gitops.operations.status import require_store
from stoa_gitops.operations.store_choice import open_store
from stoa_gitops.report.events import visible_key

if TYPE_CHECKING:
    from stoa_gitops.model.conditions import Condition
    from stoa_gitops.store import AuditEntry, Cycle, Store, Version

Tree: TypeAlias = dict[str, Any]

FORMAT_VERSION: Final = "1.0"

POLL: Final = 0.5
"""Seconds between two looks at the store: it says in microseconds whether anybody wrote."""

PAGE: Final = 1_000
"""Entries that are read at once."""


async def read_history(folder: Path, gateway: str | None, limit: int) -> Tree:
    """Return the latest cycles, newest first; raises UsageError without a store, StoreError."""
    require_store(folder)
    async with open_store(folder) as store:
        await _check_gateway(store, gateway)
        cycles = await store.list_cycles(gateway, limit=limit)
    return {"format_version": FORMAT_VERSION, "items": [cycle_tree(cycle) for cycle in cycles]}


async def read_audit(
    folder: Path, gateway: str | None, limit: int, since: datetime | None = None
) -> Tree:
    """Return the latest entries of the audit trail, newest first; raises as `read_history`."""
    require_store(folder)
    async with open_store(folder) as store:
        await _check_gateway(store, gateway)
        entries = await store.list_audit(gateway, limit=limit)
    kept = [audit_tree(entry) for entry in entries if since is None or entry.at >= since]
    return {"format_version": FORMAT_VERSION, "items": kept}


@dataclass(slots=True)
class EventFeed:
    """Events of a store, oldest first, each once. Make it by `open_feed`.

    gateway  the only gateway that is of interest; None for all
    """

    store: Store
    gateway: str | None = None
    _cycle: int = 0
    _entry: int = 0
    _conditions: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)

    async def latest(self, limit: int) -> list[Tree]:
        """Return the last events so far; those that follow are `next_events`."""
        found = await self._new(limit)
        return found[-limit:] if limit else []

    async def follow(self) -> AsyncIterator[Tree]:
        """Yield events as they come, until the task is cancelled."""
        version = await self.store.version()
        while True:
            for event in await self._new(PAGE):
                yield event
            version = await self._wait_for_write(version)

    async def _wait_for_write(self, version: Version) -> Version:
        """Return the version of the store once it is another one; nothing is read until then."""
        while True:
            now = await self.store.version()
            if now != version:
                return now
            await asyncio.sleep(POLL)

    async def _new(self, limit: int) -> list[Tree]:
        """Return what came since the last call, sorted by time."""
        cycles = await self._cycles_after(max(limit, 1))
        entries = await self._entries_after(max(limit, 1))
        self._cycle = max((cycle.id for cycle in cycles), default=self._cycle)
        self._entry = max((entry.id for entry in entries), default=self._entry)
        # What a cycle did has its time, and comes before its end; both are read newest first.
        found = [audit_event(entry) for entry in reversed(entries)]
        found += [cycle_event(cycle) for cycle in reversed(cycles)]
        found += [event async for event in self._transitions()]
        return sorted(found, key=lambda event: str(event["at"]))

    async def _cycles_after(self, limit: int) -> list[Cycle]:
        """Read pages backwards until what was seen; at the first call one page is enough."""
        found: list[Cycle] = []
        before = None
        while True:
            page = await self.store.list_cycles(self.gateway, limit=limit, before=before)
            found += [cycle for cycle in page if cycle.id > self._cycle]
            if not self._cycle or len(page) < limit or page[-1].id <= self._cycle:
                return found
            before = page[-1].id

    async def _entries_after(self, limit: int) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        before = None
        while True:
            page = await self.store.list_audit(self.gateway, limit=limit, before=before)
            found += [entry for entry in page if entry.id > self._entry]
            if not self._entry or len(page) < limit or page[-1].id <= self._entry:
                return found
            before = page[-1].id

    async def _transitions(self) -> AsyncIterator[Tree]:
        from stoa_gitops.operations.stored_gateways import load_gateways

        names = [self.gateway] if self.gateway else [*await load_gateways(self.store), "catalog"]
        for name, conditions in (await self.store.load_conditions_of(names)).items():
            for condition in conditions:
                now = (condition.status.value, condition.last_transition)
                if self._conditions.get((name, condition.type)) != now:
                    self._conditions[name, condition.type] = now
                    yield condition_event(name, condition)


async def _check_gateway(store: Store, gateway: str | None) -> None:
    """Raise UsageError for a gateway that the store does not know."""
    if gateway is not None:
        from stoa_gitops.operations.status import require_gateway
        from stoa_gitops.operations.stored_gateways import load_gateways

        require_gateway(await load_gateways(store), gateway)


async def open_feed(store: Store, gateway: str | None) -> EventFeed:
    """Return the events of a store; raises UsageError for a gateway that it does not know."""
    await _check_gateway(store, gateway)
    return EventFeed(store, gateway)


def cycle_tree(cycle: Cycle) -> Tree:
    """Return a cycle as JSON."""
    return {
        "number": cycle.id,
        "gateway": cycle.scope.gateway,
        "owner": cycle.scope.owner,
        "revision": cycle.revision,
        "digest": cycle.digest,
        "actor": cycle.actor,
        "started_at": cycle.started_at.isoformat(),
        "finished_at": cycle.finished_at.isoformat(),
        "error": cycle.error,
        "outcomes": dict(cycle.counts),
    }


def audit_tree(entry: AuditEntry) -> Tree:
    """Return an entry of the audit trail as JSON."""
    return {
        "number": entry.id,
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "gateway": entry.gateway,
        "key": entry.key,
        "action": entry.action,
        "status": entry.status,
        "message": entry.message,
    }


def cycle_event(cycle: Cycle) -> Tree:
    """Return the event that a cycle ended."""
    counts = ", ".join(f"{n} {name}" for name, n in sorted(cycle.counts.items()))
    message = f"{cycle.revision}: {cycle.error or counts or 'nothing to change'}"
    return _event(
        cycle.finished_at.isoformat(),
        "cycle",
        cycle.scope.gateway,
        "failed" if cycle.error else "finished",
        message,
        actor=cycle.actor,
    )


def audit_event(entry: AuditEntry) -> Tree:
    """Return the event of an entry of the audit trail."""
    subject = f"{entry.action} {visible_key(entry.key)}".strip()
    message = f"{subject}: {entry.message}" if entry.message else subject
    return _event(
        entry.at.isoformat(), "audit", entry.gateway, entry.status, message, actor=entry.actor
    )


def condition_event(subject: str, condition: Condition) -> Tree:
    """Return the event that a condition became what it is."""
    message = f"{condition.type} is {condition.status.value} ({condition.reason})"
    text = f"{message}: {condition.message}" if condition.message else message
    at = condition.last_transition.isoformat()
    return _event(at, "condition", subject, condition.status.value, text, actor="")


def _event(at: str, source: str, gateway: str, status: str, message: str, *, actor: str) -> Tree:
    return {
        "at": at,
        "source": source,
        "gateway": gateway,
        "status": status,
        "actor": actor,
        "message": message,
    }
