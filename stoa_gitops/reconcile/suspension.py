"""Suspending and resuming a gateway by a person: kept in the store, so that a restart does not undo it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.store import AuditEntry, Store

SUSPENDED: Final = "Suspended"
"""The type of the condition; under a gateway's name only this module writes it into the store."""


async def suspend(
    store: Store, gateway: str, actor: str, now: datetime, reason: str = ""
) -> Condition:
    """Stop writing to a gateway from the next cycle on; raises StoreError. Observing goes on.

    Returns the condition that is true from now on.
    """
    because = f": {reason}" if reason else ""
    words = f"suspended by {actor} at {now.isoformat(timespec='seconds')}{because}"
    return await _set(store, gateway, ConditionStatus.TRUE, words, actor, now)


async def resume(store: Store, gateway: str, actor: str, now: datetime) -> Condition:
    """Write again from the next cycle on; raises StoreError. `spec.suspended` of the document stays in force."""
    return await _set(store, gateway, ConditionStatus.FALSE, "", actor, now)


def suspension_message(conditions: Iterable[Condition]) -> str:
    """Return who suspended the gateway of these stored conditions, and why; empty if nobody did."""
    suspensions = (c for c in conditions if c.type == SUSPENDED)
    return next((c.message for c in suspensions if c.status is ConditionStatus.TRUE), "")


async def _set(
    store: Store, gateway: str, status: ConditionStatus, words: str, actor: str, now: datetime
) -> Condition:
    is_stop = status is ConditionStatus.TRUE
    condition = Condition(
        SUSPENDED,
        status,
        ConditionReason.REQUESTED if is_stop else ConditionReason.NOT_REQUESTED,
        words,
        0,
        now,
    )
    action = "suspend" if is_stop else "resume"
    entry = AuditEntry(now, actor, gateway, "", action, "applied", words)
    await store.save_conditions(gateway, [condition], [entry])
    return condition
