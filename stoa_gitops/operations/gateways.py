"""Suspends, resumes and forgets a gateway: in the store, where every process finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoa_gitops.errors import UsageError
from stoa_gitops.model.counts import counted
from stoa_gitops.reconcile import suspension

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoa_gitops.model.conditions import Condition
    from stoa_gitops.model.principal import Principal
    from stoa_gitops.reconcile.session import SessionContext


async def suspend_gateway(
    context: SessionContext, name: str, principal: Principal, reason: str = ""
) -> Condition:
    """Stop writing to a gateway from its next cycle on; a running cycle is finished.

    Returns the condition that holds from now on. The caller checks that the gateway exists.
    Raises StoreError.
    """
    now = context.clock()
    return await suspension.suspend(context.store, name, principal.subject, now, reason)


async def resume_gateway(context: SessionContext, name: str, principal: Principal) -> Condition:
    """Write to a gateway again, unless its document says `suspended`. Raises StoreError."""
    return await suspension.resume(context.store, name, principal.subject, context.clock())


def choose_owner(name: str, owners: Sequence[str], asked: str | None) -> str:
    """Return the catalog whose objects on a gateway are meant; UsageError unless it is one."""
    if asked:
        if asked not in owners:
            existing = ", ".join(owners) or "none"
            raise UsageError(f"catalog {asked!r} owns nothing there; there is: {existing}")
        return asked
    if len(owners) > 1:
        raise UsageError(
            f"several catalogs own objects there ({', '.join(owners)}): name one by --owner"
        )
    if not owners:
        raise UsageError(f"nothing is owned on {name}: there is nothing to forget")
    return owners[0]


async def forget_gateway(
    context: SessionContext, name: str, owner: str, principal: Principal
) -> int:
    """Drop what is known of a catalog's objects on a gateway; return how many there were.

    The objects stay on the gateway. Raises StoreError.
    """
    from stoa_gitops.store import AuditEntry

    count = await context.store.forget_gateway(owner, name)
    # After the deletion: the trail must not tell of one that failed.
    message = f"{counted(count, 'object')} of catalog {owner}"
    entry = AuditEntry(context.clock(), principal.subject, name, "", "forget", "applied", message)
    await context.store.append_audit([entry])
    return count
