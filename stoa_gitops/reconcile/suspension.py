"""Suspending and resuming a gateway by a person: kept in the store, so that a restart does not undo it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.store import AsyncStore, AuditEntry, Store

SUSPENDED: Final = "Suspended"
"""The type of the condition; under a gateway's name only this module writes it into the store."""


async def suspend(
    store: AsyncStore, gateway: str, actor: str, now: datetime, reason: str = ""
) -> Condition:
    """Stop writing to a gateway from the next cycle on; raises StoreError. Observing goes on.

    Returns the condition that is true from now on.
    """
    because = f": {reason}" if reason else ""
    words = f"suspended by {actor} at {now.isoformat(timespec='seconds')}{because}"
    return await _set(store, gateway, ConditionStatus.TRUE, words, actor, now)


async def resume(store: AsyncStore, gateway: str, actor: str, now: datetime) -> Condition:
    """Write again from the next cycle on; raises StoreError. `spec.suspended` of the document stays in force."""
    return await _set(store, gateway, ConditionStatus.FALSE, "", actor, now)


def suspended_in_store(store: Store, gateway: str) -> str:
    """Return in words who suspended a gateway; empty where nobody did."""
    known = (c for c in store.conditions(gateway) if c.type == SUSPENDED)
    return next((c.message for c in known if c.status is ConditionStatus.TRUE), "")


async def _set(
    store: AsyncStore, gateway: str, status: ConditionStatus, words: str, actor: str, now: datetime
) -> Condition:
    is_stop = status is ConditionStatus.TRUE
    condition = Condition(
        SUSPENDED, status, "Requested" if is_stop else "NotRequested", words, 0, now
    )
    action = "suspend" if is_stop else "resume"
    entry = AuditEntry(now, actor, gateway, "", action, "applied", words)
    await store.call(Store.set_conditions, gateway, [condition], [entry])
    return condition
