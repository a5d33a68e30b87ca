"""History: the newest cycles of each gateway, with their outcomes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.store.records import Cycle, CycleEntry, Scope, shorten, time_text
from stoa_gitops.store.sqlite.database import Database, Row
from stoa_gitops.store.sqlite.inventory import scope_row

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils


def write_cycle(db: Utils, scope: Scope, entry: CycleEntry, now: datetime, keep: int) -> int:
    """Add a cycle with its outcomes, drop those beyond the newest `keep`; return its number."""
    counts = Counter(outcome.status.value for outcome in entry.outcomes)
    cursor = db.execute(
        "INSERT INTO cycles (owner, gateway, base_url, actor, revision, digest, started_at, "
        "finished_at, error, counts) VALUES (:owner, :gateway, :base_url, :actor, :revision, "
        ":digest, :started_at, :finished_at, :error, :counts)",
        {
            **scope_row(scope),
            "actor": entry.actor,
            "revision": entry.revision,
            "digest": entry.digest,
            "started_at": time_text(entry.started_at),
            "finished_at": time_text(now),
            "error": None if entry.error is None else shorten(entry.error),
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
                cycle,
                position,
                str(o.change.key),
                o.change.action.value,
                o.status.value,
                o.reason,
                shorten(o.message),
                o.attempts,
                o.gateway_id,
            )
            for position, o in enumerate(outcomes)
        ),
    )


def read_cycles(
    database: Database, gateway: str | None, *, limit: int, before: int | None
) -> list[Cycle]:
    """Return cycles, newest first; `before` is the number of the last one of the page before."""
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
