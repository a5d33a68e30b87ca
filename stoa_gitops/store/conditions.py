"""Conditions of gateways and of the catalog, so that they and their times outlive a restart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.model.conditions import Condition, ConditionStatus, transition
from stoa_gitops.store.database import Database, Row
from stoa_gitops.store.records import cut, text_of

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils


def read(database: Database, subject: str) -> tuple[Condition, ...]:
    """Read the conditions of one subject (a gateway's name, or `catalog`), sorted by type."""
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


def write(db: Utils, subject: str, new: Iterable[Condition], old: Iterable[Condition]) -> None:
    """Write conditions; `last_transition` stays where the status did not move."""
    known = {condition.type: condition for condition in old}
    moved = [transition(known.get(condition.type), condition) for condition in new]
    rows = [
        {
            "subject": subject,
            "type": condition.type,
            "status": condition.status.value,
            "reason": condition.reason,
            "message": cut(condition.message),
            "observed_generation": condition.observed_generation,
            "last_transition": text_of(condition.last_transition),
        }
        for condition in moved
    ]
    if rows:
        db.table("conditions").insert_all(rows, replace=True)
