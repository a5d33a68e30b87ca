"""Entries of the audit trail about gateways that register and are forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from stoa_gitops.fleet.members import Registered
from stoa_gitops.fleet.registration import AUDITED, Registration
from stoa_gitops.store import AuditEntry

REPEATED: Final = timedelta(minutes=10)
"""A registration that changes nothing is audited once in this time: a gateway may flap."""


def entry_of_registration(
    registration: Registration, done: Registered, at: datetime, before: datetime | None
) -> AuditEntry | None:
    """Return the entry of a registration; None where it repeats the one before."""
    changed = [name for name in done.changed if name in AUDITED]
    if not done.is_new and not changed and before is not None and abs(at - before) < REPEATED:
        return None
    message = (
        f"host {registration.hostname}, mode {registration.mode.value}, version"
        f" {registration.version}, admin URL {registration.admin_url}"
    )
    if changed:
        message = f"changed: {', '.join(changed)}; {message}"
    return AuditEntry(
        at,
        f"gateway key {registration.key} from {registration.peer}",
        registration.name,
        _audit_key(registration),
        "register",
        "registered" if done.is_new else "updated" if changed else "repeated",
        message,
    )


def entry_of_forgetting(
    registration: Registration, actor: str, why: str, at: datetime
) -> AuditEntry:
    """Return the entry of a gateway that is forgotten."""
    key = _audit_key(registration)
    return AuditEntry(at, actor, registration.name, key, "forget", "forgotten", why)


def _audit_key(registration: Registration) -> str:
    """Return the key of an entry: those with one gateway key have a share of the trail.

    It drops the oldest of the tenant that has most, by the second part, and no tenant begins with a
    hyphen: so a flood of one key's registrations pushes out neither those of another key nor who
    suspended or forced what.
    """
    return f"registration/-{registration.key}/{registration.name}"
