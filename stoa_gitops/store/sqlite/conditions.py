"""Conditions of gateways and of the catalog, with the times of their transitions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.model.conditions import Condition, ConditionStatus, transition
from stoa_gitops.store.records import shorten, time_text
from stoa_gitops.store.sqlite.database import Database, Row

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils


def read_conditions(database: Database, subject: str) -> tuple[Condition, ...]:
    """Return the conditions of a subject (a gateway's name, or `catalog`), sorted by type."""
    rows = database.rows("SELECT * FROM conditions WHERE subject = ? ORDER BY type", (subject,))
    return tuple(_condition(row) for row in rows)


def _condition(row: Row) -> Condition:
    return Condition(
        type=row["type"],
        status=ConditionStatus(row["status"]),
        reason=row["reason"],
        message=row["message"],
        observed_generation=row["observed_generation"],
        last_transition=datetime.fromisoformat(row["last_transition"]),
    )


def write_conditions(
    db: Utils, subject: str, new: Iterable[Condition], old: Iterable[Condition]
) -> None:
    """Write conditions; `last_transition` stays where the status is that of `old`."""
    previous = {condition.type: condition for condition in old}
    current = [transition(previous.get(condition.type), condition) for condition in new]
    rows = [
        {
            "subject": subject,
            "type": condition.type,
            "status": condition.status.value,
            "reason": condition.reason,
            "message": shorten(condition.message),
            "observed_generation": condition.observed_generation,
            "last_transition": time_text(condition.last_transition),
        }
        for condition in current
    ]
    if rows:
        db.table("conditions").insert_all(rows, replace=True)
