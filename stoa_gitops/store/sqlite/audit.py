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
    """Append entries and drop those beyond the newest `keep`."""
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
    db.execute(
        "DELETE FROM audit WHERE id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?)",
        [keep],
    )


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
