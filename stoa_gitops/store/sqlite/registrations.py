"""Gateways that registered themselves, by id."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.registration import MemberRecord, Registration
from stoa_gitops.store.records import time_text
from stoa_gitops.store.sqlite.database import Database, Row

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils


def read_registrations(database: Database) -> tuple[MemberRecord, ...]:
    """Return all registered gateways, sorted by name."""
    rows = database.rows("SELECT * FROM registrations ORDER BY name")
    return tuple(_record(row) for row in rows)


def write_registrations(db: Utils, records: Iterable[MemberRecord]) -> None:
    """Write gateways, new ones and known ones."""
    # Made while they are written: a thousand may register at once.
    db.table("registrations").insert_all(map(_row, records), replace=True)


def delete_registrations(db: Utils, ids: Iterable[str]) -> None:
    """Delete gateways; unknown ids do nothing."""
    db.conn.executemany("DELETE FROM registrations WHERE id = ?", ((one,) for one in ids))


def _row(record: MemberRecord) -> dict[str, str | int | float]:
    registration = record.registration
    return {
        "id": registration.id,
        "name": registration.name,
        "hostname": registration.hostname,
        "mode": registration.mode.value,
        "environment": registration.environment,
        "version": registration.version,
        "admin_url": registration.admin_url,
        "capabilities": json.dumps(registration.capabilities),
        "extensions": json.dumps(registration.extensions),
        "tenant_id": registration.tenant_id,
        "further": json.dumps(registration.further),
        "key_fingerprint": registration.key,
        "peer": registration.peer,
        "status": record.status,
        "since": time_text(record.since),
        "registered_at": time_text(record.registered_at),
        "last_registered_at": time_text(record.last_registered_at),
        "last_beat_at": time_text(record.last_beat_at) if record.last_beat_at else "",
        "requests": record.requests,
        "errors": record.errors,
        "degraded": int(record.is_degraded),
    }


def _record(row: Row) -> MemberRecord:
    return MemberRecord(
        Registration(
            id=row["id"],
            name=row["name"],
            hostname=row["hostname"],
            mode=Mode(row["mode"]),
            environment=row["environment"],
            version=row["version"],
            admin_url=row["admin_url"],
            capabilities=tuple(json.loads(row["capabilities"])),
            extensions=tuple(json.loads(row["extensions"])),
            tenant_id=row["tenant_id"],
            further=tuple((name, value) for name, value in json.loads(row["further"])),
            key=row["key_fingerprint"],
            peer=row["peer"],
        ),
        status=row["status"],
        since=datetime.fromisoformat(row["since"]),
        registered_at=datetime.fromisoformat(row["registered_at"]),
        last_registered_at=datetime.fromisoformat(row["last_registered_at"]),
        last_beat_at=datetime.fromisoformat(row["last_beat_at"]) if row["last_beat_at"] else None,
        requests=row["requests"],
        errors=row["errors"],
        is_degraded=bool(row["degraded"]),
    )
