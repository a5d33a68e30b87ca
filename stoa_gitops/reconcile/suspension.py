"""Suspends and resumes gateways; kept in the store, so that a restart does not undo it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.store import AuditEntry, Store

# Type of the condition; only this module stores it for a gateway.
SUSPENDED: Final = "Suspended"


async def suspend(
    store: Store, gateway: str, actor: str, now: datetime, reason: str = ""
) -> Condition:
    """Stop writing to a gateway from the next cycle on; observing and planning go on.

    One that is suspended already stays so as it is, with who did it and why, unless `reason` gives
    another one. Returns the condition from now on. Raises StoreError.
    """
    standing = _standing(await store.load_conditions(gateway))
    if standing is not None and not reason:
        return standing
    because = f": {reason}" if reason else ""
    message = f"suspended by {actor} at {now.isoformat(timespec='seconds')}{because}"
    return await _save(store, gateway, ConditionStatus.TRUE, message, actor, now)


async def resume(store: Store, gateway: str, actor: str, now: datetime) -> Condition:
    """Write to a gateway again from the next cycle on, unless `spec.suspended` forbids it.

    Returns the condition from now on. Raises StoreError.
    """
    return await _save(store, gateway, ConditionStatus.FALSE, "", actor, now)


def suspension_message(conditions: Iterable[Condition]) -> str:
    """Return who suspended the gateway of these stored conditions, and why; empty if nobody did."""
    standing = _standing(conditions)
    return standing.message if standing is not None else ""


def _standing(conditions: Iterable[Condition]) -> Condition | None:
    suspensions = (c for c in conditions if c.type == SUSPENDED)
    return next((c for c in suspensions if c.status is ConditionStatus.TRUE), None)


async def _save(
    store: Store, gateway: str, status: ConditionStatus, message: str, actor: str, now: datetime
) -> Condition:
    is_stop = status is ConditionStatus.TRUE
    condition = Condition(
        SUSPENDED,
        status,
        ConditionReason.REQUESTED if is_stop else ConditionReason.NOT_REQUESTED,
        message,
        0,
        now,
    )
    action = "suspend" if is_stop else "resume"
    # Stored with the condition in one transaction: no suspension without who asked for it.
    entry = AuditEntry(now, actor, gateway, "", action, "applied", message)
    await store.save_conditions(gateway, [condition], [entry])
    return condition
