"""The audit trail: who did what, when, with which result. Never a secret or a specification."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.store.records import AuditEntry, shorten, time_text
from stoa_gitops.store.sqlite.database import Database

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils

_NOT_AUDITED = (Status.UNCHANGED, Status.BLOCKED)
"""Outcomes for which no call was made to the gateway."""

_TENANT = (
    "CASE instr(key, '/') WHEN 0 THEN '' ELSE "
    "substr(key, instr(key, '/') + 1, instr(substr(key, instr(key, '/') + 1) || '/', '/') - 1) END"
)
"""The tenant of a key, `kind/tenant/name`, in SQL; empty for entries about gateways."""


def entries_of(
    outcomes: Iterable[Outcome], *, actor: str, gateway: str, at: datetime
) -> list[AuditEntry]:
    """Return one entry for each outcome that changed a gateway or tried to."""
    return [
        AuditEntry(
            at=at,
            actor=actor,
            gateway=gateway,
            key=str(outcome.change.key),
            action=outcome.change.action.value,
            status=outcome.status.value,
            message=outcome.message,
        )
        for outcome in outcomes
        if outcome.status not in _NOT_AUDITED
    ]


def write_entries(db: Utils, entries: Iterable[AuditEntry], keep: int) -> None:
    """Append entries and drop the oldest beyond `keep`, of the tenants that have most.

    So many changes of one tenant never drop what says who did something to another.
    """
    db.conn.executemany(
        "INSERT INTO audit (at, actor, gateway, key, action, status, message) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                time_text(entry.at),
                entry.actor,
                entry.gateway,
                entry.key,
                entry.action,
                entry.status,
                shorten(entry.message),
            )
            for entry in entries
        ),
    )
    (count,) = db.execute("SELECT count(*) FROM audit").fetchone()
    if count > keep:
        _drop_oldest(db, keep)


def _drop_oldest(db: Utils, keep: int) -> None:
    counts = dict(db.execute(f"SELECT {_TENANT}, count(*) FROM audit GROUP BY 1"))  # noqa: S608
    most = fair_share(counts.values(), keep)
    for tenant, count in counts.items():
        if count > most:
            db.execute(
                "DELETE FROM audit WHERE id IN "  # noqa: S608 - no part of it is from outside
                f"(SELECT id FROM audit WHERE {_TENANT} = ? ORDER BY id LIMIT ?)",
                [tenant, count - most],
            )


def fair_share(counts: Iterable[int], total: int) -> int:
    """Return the most that each may have so that all have `total`: who has less keeps it."""
    left, share = total, 0
    ordered = sorted(counts)
    for position, count in enumerate(ordered):
        share = left // (len(ordered) - position)
        if count > share:
            break
        left -= count
    return share


def read_entries(
    database: Database, gateway: str | None, *, limit: int, before: int | None
) -> list[AuditEntry]:
    """Return entries, newest first; `before` is the id of the last one of the page before."""
    rows = database.rows(
        "SELECT * FROM audit WHERE gateway = coalesce(:gateway, gateway) "
        "AND id < coalesce(:before, id + 1) ORDER BY id DESC LIMIT :limit",
        {"gateway": gateway, "before": before, "limit": limit},
    )
    return [AuditEntry(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]
