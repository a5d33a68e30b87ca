"""The audit trail: who did what, when, and how it ended. Never a secret, never a specification."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.store.database import Database
from stoa_gitops.store.records import AuditEntry, cut, text_of

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils

_TOUCHED_NOTHING = (Status.UNCHANGED, Status.BLOCKED)


def of_outcomes(
    outcomes: Iterable[Outcome], *, actor: str, gateway: str, at: datetime
) -> list[AuditEntry]:
    """Return the entries of what a cycle did to a gateway or tried to do."""
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
        if outcome.status not in _TOUCHED_NOTHING
    ]


def write(db: Utils, entries: Iterable[AuditEntry], keep: int) -> None:
    """Append entries and drop those beyond the newest `keep`."""
    db.conn.executemany(
        "INSERT INTO audit (at, actor, gateway, key, action, status, message) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (text_of(e.at), e.actor, e.gateway, e.key, e.action, e.status, cut(e.message))
            for e in entries
        ),
    )
    db.execute(
        "DELETE FROM audit WHERE id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?)",
        [keep],
    )


def read(
    database: Database, gateway: str | None, *, limit: int, before: int | None
) -> list[AuditEntry]:
    """Read entries, newest first; `before` is an entry's id, for the next page."""
    rows = database.rows(
        "SELECT * FROM audit WHERE gateway = coalesce(:gateway, gateway) "
        "AND id < coalesce(:before, id + 1) ORDER BY id DESC LIMIT :limit",
        {"gateway": gateway, "before": before, "limit": limit},
    )
    return [AuditEntry(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]
