"""Inventory: what we own on each gateway and what was applied last, and the quarantine."""

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
from stoa_gitops.store.records import Quarantined, Scope, shorten, time_text
from stoa_gitops.store.sqlite.database import Database, Row

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils

# S608 warns of SQL that is put together: here only of constants, and every value is bound.
_IN_SCOPE = "owner = :owner AND gateway = :gateway AND base_url = :base_url"


def scope_row(scope: Scope) -> dict[str, str]:
    """Return the three columns of a scope."""
    return {"owner": scope.owner, "gateway": scope.gateway, "base_url": scope.base_url}


def load_records(database: Database, scope: Scope) -> dict[Key, AppliedRecord]:
    """Return the records of one scope by key."""
    rows = database.rows(f"SELECT * FROM inventory WHERE {_IN_SCOPE}", scope_row(scope))  # noqa: S608
    return {(record := _record(row)).key: record for row in rows}


def load_some_records(
    database: Database, scope: Scope, keys: Iterable[Key]
) -> dict[Key, AppliedRecord]:
    """Return the records of some keys; missing ones are left out."""
    sql = f"SELECT * FROM inventory WHERE {_IN_SCOPE} AND key = :key"  # noqa: S608
    columns = scope_row(scope)
    records: dict[Key, AppliedRecord] = {}
    for key in keys:
        rows = database.rows(sql, {**columns, "key": str(key)})
        records.update((key, _record(row)) for row in rows)
    return records


def _record(row: Row) -> AppliedRecord:
    return AppliedRecord(
        key=Key.parse(row["key"]),
        spec=Spec(row["spec"]),
        gateway_id=row["gateway_id"],
        # 30,000 records name a few revisions: one string each instead of one per record.
        revision=sys.intern(row["revision"]),
        secret_hmacs=_hmacs(row["secret_hmacs"]),
        adopted=bool(row["adopted"]),
        protected=bool(row["protected"]),
    )


@lru_cache(maxsize=4096)
def _hmacs(text: str) -> Mapping[str, str]:
    """Parse the HMACs of one record; equal texts share one mapping, as the objects of a team do."""
    return MappingProxyType(json.loads(text))


def write_records(db: Utils, scope: Scope, records: Iterable[AppliedRecord], now: datetime) -> None:
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
            "applied_at": time_text(now),
        }
        for record in records
    ]
    if rows:
        names = list(rows[0])
        db.conn.executemany(
            f"INSERT OR REPLACE INTO inventory ({', '.join(names)}) "  # noqa: S608
            f"VALUES ({', '.join(f':{name}' for name in names)})",
            rows,
        )
        _lift_quarantine(db, scope, (str(row["key"]) for row in rows))


def delete_records(db: Utils, scope: Scope, keys: Iterable[Key]) -> None:
    """Drop records and the quarantine of their keys; missing ones are no error."""
    texts = [str(key) for key in keys]
    columns = scope_row(scope)
    db.conn.executemany(
        f"DELETE FROM inventory WHERE {_IN_SCOPE} AND key = :key",  # noqa: S608
        ({**columns, "key": key} for key in texts),
    )
    _lift_quarantine(db, scope, texts)


def _lift_quarantine(db: Utils, scope: Scope, keys: Iterable[str]) -> None:
    columns = scope_row(scope)
    db.conn.executemany(
        f"DELETE FROM quarantine WHERE {_IN_SCOPE} AND key = :key",  # noqa: S608
        ({**columns, "key": key} for key in keys),
    )


def bind_base_url(db: Utils, scope: Scope, now: datetime) -> None:
    """Remember the base URL under which an owner reconciles a gateway."""
    row = {**scope_row(scope), "bound_at": time_text(now)}
    db.execute(
        "INSERT INTO bindings (owner, gateway, base_url, bound_at) "
        "VALUES (:owner, :gateway, :base_url, :bound_at) ON CONFLICT DO UPDATE "
        "SET base_url = excluded.base_url, bound_at = excluded.bound_at "
        # Without this a cycle of a gateway that stays where it is would move `bound_at`.
        "WHERE base_url != excluded.base_url",
        row,
    )


def last_base_url(database: Database, owner: str, gateway: str) -> str | None:
    """Return the base URL that was reconciled last, None for a gateway never seen."""
    rows = database.rows(
        "SELECT base_url FROM bindings WHERE owner = ? AND gateway = ?", (owner, gateway)
    )
    return rows[0]["base_url"] if rows else None


def other_owners(database: Database, scope: Scope) -> tuple[str, ...]:
    """Return the other owners that reconciled this gateway at this base URL, sorted."""
    rows = database.rows(
        "SELECT owner FROM bindings WHERE gateway = :gateway AND base_url = :base_url "
        "AND owner != :owner ORDER BY owner",
        scope_row(scope),
    )
    return tuple(row["owner"] for row in rows)


def list_scopes(database: Database, owner: str) -> list[Scope]:
    """Return an owner's scopes, sorted: with records, a quarantine, or only reconciled once."""
    tables = ("inventory", "quarantine", "bindings")
    selects = (f"SELECT owner, gateway, base_url FROM {t} WHERE owner = :owner" for t in tables)  # noqa: S608
    rows = database.rows(" UNION ".join(selects), {"owner": owner})
    return sorted(Scope(**row) for row in rows)


def delete_gateway(database: Database, owner: str, gateway: str, base_url: str | None) -> int:
    """Drop what is stored of a gateway, under one base URL or all; return how many records."""
    values = {"owner": owner, "gateway": gateway, "base_url": base_url}
    which = "owner = :owner AND gateway = :gateway AND base_url = coalesce(:base_url, base_url)"
    count = database.execute(f"DELETE FROM inventory WHERE {which}", values)  # noqa: S608
    database.execute(f"DELETE FROM quarantine WHERE {which}", values)  # noqa: S608
    database.execute(f"DELETE FROM bindings WHERE {which}", values)  # noqa: S608
    return count


def write_quarantine(db: Utils, scope: Scope, entries: Iterable[Quarantined]) -> None:
    """Write refused objects; one with the spec that was refused before keeps its `since`."""
    for entry in entries:
        db.execute(
            "INSERT INTO quarantine (owner, gateway, base_url, key, spec_digest, gateway_version, "
            "words, since, tried_at, path, line_number, column_number) VALUES (:owner, :gateway, "
            ":base_url, :key, :spec_digest, :gateway_version, :words, :since, :tried_at, :path, "
            ":line, :column) ON CONFLICT DO UPDATE SET "
            "since = CASE WHEN spec_digest = excluded.spec_digest THEN since "
            "ELSE excluded.since END, "
            "spec_digest = excluded.spec_digest, gateway_version = excluded.gateway_version, "
            "words = excluded.words, tried_at = excluded.tried_at, path = excluded.path, "
            "line_number = excluded.line_number, column_number = excluded.column_number",
            {
                **scope_row(scope),
                **_position(entry.source),
                "key": str(entry.key),
                "spec_digest": entry.spec_digest,
                "gateway_version": entry.gateway_version,
                # the column kept its name when the field was renamed: stores of users have it
                "words": shorten(entry.message),
                "since": time_text(entry.since),
                "tried_at": time_text(entry.last_try),
            },
        )


def _position(source: SourceRef | None) -> dict[str, str | int]:
    """Return the columns of a position, without the commit: any commit would change it."""
    if source is None:
        return {"path": "", "line": 1, "column": 1}
    return {"path": source.path, "line": source.line, "column": source.column}


def load_quarantine(database: Database, scope: Scope) -> dict[Key, Quarantined]:
    """Return the refused objects of one scope, by key."""
    rows = database.rows(f"SELECT * FROM quarantine WHERE {_IN_SCOPE}", scope_row(scope))  # noqa: S608
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
