"""Cycles and their outcomes, kept for a while."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.store.database import Database, Row
from stoa_gitops.store.inventory import scope_row
from stoa_gitops.store.records import Cycle, CycleEntry, PastOutcome, Scope, cut, text_of

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils


def write(db: Utils, scope: Scope, entry: CycleEntry, now: datetime, keep: int) -> int:
    """Add a cycle with its outcomes, drop those beyond the newest `keep`; return its number."""
    counts = Counter(outcome.status.value for outcome in entry.outcomes)
    cursor = db.execute(
        "INSERT INTO cycles (owner, gateway, base_url, actor, revision, digest, started_at, "
        "finished_at, error, counts) VALUES (:owner, :gateway, :base_url, :actor, :revision, :digest, "
        ":started_at, :finished_at, :error, :counts)",
        {
            **scope_row(scope),
            "actor": entry.actor,
            "revision": entry.revision,
            "digest": entry.digest,
            "started_at": text_of(entry.started_at),
            "finished_at": text_of(now),
            "error": None if entry.error is None else cut(entry.error),
            "counts": json.dumps(counts, sort_keys=True),
        },
    )
    number = int(cursor.lastrowid or 0)
    _write_outcomes(db, number, entry.outcomes)
    db.execute(
        "DELETE FROM cycles WHERE gateway = :gateway AND id <= (SELECT id FROM cycles "
        "WHERE gateway = :gateway ORDER BY id DESC LIMIT 1 OFFSET :keep)",
        {"gateway": scope.gateway, "keep": keep},
    )
    return number


def _write_outcomes(db: Utils, cycle: int, outcomes: Iterable[Outcome]) -> None:
    db.conn.executemany(
        "INSERT INTO outcomes (cycle, position, key, action, status, reason, message, attempts, "
        "gateway_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                cycle, position, str(o.change.key), o.change.action.value, o.status.value,
                o.reason, cut(o.message), o.attempts, o.gateway_id,
            )
            for position, o in enumerate(outcomes)
        ),
    )  # fmt: skip


def cycles(
    database: Database, gateway: str | None, *, limit: int, before: int | None
) -> list[Cycle]:
    """Read cycles, newest first; `before` is a cycle's number, for the next page."""
    rows = database.rows(
        "SELECT * FROM cycles WHERE gateway = coalesce(:gateway, gateway) "
        "AND id < coalesce(:before, id + 1) ORDER BY id DESC LIMIT :limit",
        {"gateway": gateway, "before": before, "limit": limit},
    )
    return [_cycle(row) for row in rows]


def _cycle(row: Row) -> Cycle:
    return Cycle(
        id=row["id"],
        scope=Scope(row["owner"], row["gateway"], row["base_url"]),
        actor=row["actor"],
        revision=row["revision"],
        digest=row["digest"],
        started_at=datetime.fromisoformat(row["started_at"]),
        finished_at=datetime.fromisoformat(row["finished_at"]),
        error=row["error"],
        counts=json.loads(row["counts"]),
    )


def outcomes(database: Database, cycle: int) -> list[PastOutcome]:
    """Read the outcomes of one cycle in the order in which they were applied."""
    rows = database.rows("SELECT * FROM outcomes WHERE cycle = ? ORDER BY position", (cycle,))
    return [
        PastOutcome(
            key=Key.parse(row["key"]),
            action=row["action"],
            status=row["status"],
            reason=row["reason"],
            message=row["message"],
            attempts=row["attempts"],
            gateway_id=row["gateway_id"],
        )
        for row in rows
    ]
