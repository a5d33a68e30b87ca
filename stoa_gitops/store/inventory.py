"""What we believe we own on each gateway, and what was applied last: the input to drift and prune."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, SourceRef
from stoa_gitops.store.database import Database, Row
from stoa_gitops.store.records import Quarantined, Scope, cut, text_of

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils

_MINE = "owner = :owner AND gateway = :gateway AND base_url = :base_url"


def scope_row(scope: Scope) -> dict[str, str]:
    """Return the three columns of a scope."""
    return {"owner": scope.owner, "gateway": scope.gateway, "base_url": scope.base_url}


def load(database: Database, scope: Scope) -> dict[Key, AppliedRecord]:
    """Read the records of one scope by key."""
    rows = database.rows(f"SELECT * FROM inventory WHERE {_MINE}", scope_row(scope))  # noqa: S608
    return {(record := _record(row)).key: record for row in rows}


def load_keys(database: Database, scope: Scope, keys: Iterable[Key]) -> dict[Key, AppliedRecord]:
    """Read the records of some keys; those that are not there are left out."""
    found: dict[Key, AppliedRecord] = {}
    for key in keys:
        values = {**scope_row(scope), "key": str(key)}
        rows = database.rows(f"SELECT * FROM inventory WHERE {_MINE} AND key = :key", values)  # noqa: S608
        found.update((key, _record(row)) for row in rows)
    return found


def _record(row: Row) -> AppliedRecord:
    return AppliedRecord(
        key=Key.parse(row["key"]),
        spec=Spec(row["spec"]),
        gateway_id=row["gateway_id"],
        revision=sys.intern(row["revision"]),
        secret_hmacs=_hmacs(row["secret_hmacs"]),
        adopted=bool(row["adopted"]),
        protected=bool(row["protected"]),
    )


@lru_cache(maxsize=4096)
def _hmacs(text: str) -> Mapping[str, str]:
    """Return the HMACs that a text holds; of equal ones, as many objects of one team have, the same mapping."""
    return MappingProxyType(json.loads(text))


def write(db: Utils, scope: Scope, records: Iterable[AppliedRecord], now: datetime) -> None:
    """Insert or replace records, and lift the quarantine of their keys."""
    rows = [
        {
            **scope_row(scope),
            "key": str(record.key),
            "spec": record.spec.raw,
            "gateway_id": record.gateway_id,
            "revision": record.revision,
            "secret_hmacs": json.dumps(dict(record.secret_hmacs), sort_keys=True),
            "adopted": int(record.adopted),
            "protected": int(record.protected),
            "applied_at": text_of(now),
        }
        for record in records
    ]
    if rows:
        db.table("inventory").insert_all(rows, replace=True)
        _release(db, scope, (str(row["key"]) for row in rows))


def remove(db: Utils, scope: Scope, keys: Iterable[Key]) -> None:
    """Drop records and the quarantine of their keys; what is not there is no error."""
    texts = [str(key) for key in keys]
    mine = scope_row(scope)
    db.conn.executemany(
        f"DELETE FROM inventory WHERE {_MINE} AND key = :key",  # noqa: S608
        ({**mine, "key": key} for key in texts),
    )
    _release(db, scope, texts)


def _release(db: Utils, scope: Scope, keys: Iterable[str]) -> None:
    mine = scope_row(scope)
    db.conn.executemany(
        f"DELETE FROM quarantine WHERE {_MINE} AND key = :key",  # noqa: S608
        ({**mine, "key": key} for key in keys),
    )


def bind(db: Utils, scope: Scope, now: datetime) -> None:
    """Remember the base URL under which an owner works a gateway."""
    row = {**scope_row(scope), "bound_at": text_of(now)}
    db.execute(
        "INSERT INTO bindings (owner, gateway, base_url, bound_at) VALUES (:owner, :gateway, :base_url, :bound_at) ON CONFLICT "
        "DO UPDATE SET base_url = excluded.base_url, bound_at = excluded.bound_at "
        "WHERE base_url != excluded.base_url",
        row,
    )


def known_base_url(database: Database, owner: str, gateway: str) -> str | None:
    """Return the base URL that was worked last, None for a gateway never seen."""
    rows = database.rows(
        "SELECT base_url FROM bindings WHERE owner = ? AND gateway = ?", (owner, gateway)
    )
    return rows[0]["base_url"] if rows else None


def scopes(database: Database, owner: str) -> list[Scope]:
    """Return every scope of an owner, sorted: with records, with a quarantine, or only worked once."""
    tables = ("inventory", "quarantine", "bindings")
    selects = (f"SELECT owner, gateway, base_url FROM {t} WHERE owner = :owner" for t in tables)  # noqa: S608
    rows = database.rows(" UNION ".join(selects), {"owner": owner})
    return sorted(Scope(**row) for row in rows)


def forget(database: Database, owner: str, gateway: str, base_url: str | None) -> int:
    """Drop what is known of a gateway, under one base URL or all; return the number of records."""
    values = {"owner": owner, "gateway": gateway, "base_url": base_url}
    which = "owner = :owner AND gateway = :gateway AND base_url = coalesce(:base_url, base_url)"
    count = database.execute(f"DELETE FROM inventory WHERE {which}", values)  # noqa: S608
    database.execute(f"DELETE FROM quarantine WHERE {which}", values)  # noqa: S608
    database.execute(f"DELETE FROM bindings WHERE {which}", values)  # noqa: S608
    return count


def quarantine(db: Utils, scope: Scope, entries: Iterable[Quarantined]) -> None:
    """Set objects aside; one that is set aside already with the same spec keeps its `since`."""
    for entry in entries:
        db.execute(
            "INSERT INTO quarantine (owner, gateway, base_url, key, spec_digest, gateway_version, "
            "words, since, tried_at, path, line_number, column_number) VALUES (:owner, :gateway, "
            ":base_url, :key, :spec_digest, :gateway_version, :words, :since, :tried_at, :path, "
            ":line, :column) ON CONFLICT DO UPDATE SET "
            "since = CASE WHEN spec_digest = excluded.spec_digest THEN since ELSE excluded.since END, "
            "spec_digest = excluded.spec_digest, gateway_version = excluded.gateway_version, "
            "words = excluded.words, tried_at = excluded.tried_at, path = excluded.path, "
            "line_number = excluded.line_number, column_number = excluded.column_number",
            {
                **scope_row(scope),
                **_place(entry.source),
                "key": str(entry.key),
                "spec_digest": entry.spec_digest,
                "gateway_version": entry.gateway_version,
                "words": cut(entry.message),
                "since": text_of(entry.since),
                "tried_at": text_of(entry.last_try),
            },
        )


def _place(source: SourceRef | None) -> dict[str, str | int]:
    """Return the columns of a place; without the commit, which the next reading moves."""
    if source is None:
        return {"path": "", "line": 1, "column": 1}
    return {"path": source.path, "line": source.line, "column": source.column}


def quarantined(database: Database, scope: Scope) -> dict[Key, Quarantined]:
    """Read what is set aside in one scope, by key."""
    rows = database.rows(f"SELECT * FROM quarantine WHERE {_MINE}", scope_row(scope))  # noqa: S608
    entries = (
        Quarantined(
            key=Key.parse(row["key"]),
            spec_digest=row["spec_digest"],
            gateway_version=row["gateway_version"],
            message=row["words"],
            since=datetime.fromisoformat(row["since"]),
            tried_at=datetime.fromisoformat(row["tried_at"] or row["since"]),
            source=(
                SourceRef(row["path"], row["line_number"], row["column_number"])
                if row["path"]
                else None
            ),
        )
        for row in rows
    )
    return {entry.key: entry for entry in entries}


def release(database: Database, scope: Scope, keys: Iterable[Key] | None) -> int:
    """Lift quarantine of some keys or of all; return how many there were."""
    mine = scope_row(scope)
    if keys is None:
        return database.execute(f"DELETE FROM quarantine WHERE {_MINE}", mine)  # noqa: S608
    sql = f"DELETE FROM quarantine WHERE {_MINE} AND key = :key"  # noqa: S608
    return sum(database.execute(sql, {**mine, "key": str(key)}) for key in keys)
