"""What gateways that fetch their configuration were given last."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.store.records import PublishedRecord, time_text
from stoa_gitops.store.sqlite.database import Database

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils


def read_record(database: Database, gateway: str) -> PublishedRecord | None:
    """Return what was last published for a gateway, None if nothing was."""
    rows = database.rows(
        "SELECT p.*, c.saved FROM published p JOIN published_contents c ON c.digest = p.content "
        "WHERE p.gateway = ?",
        (gateway,),
    )
    if not rows:
        return None
    row = rows[0]
    return PublishedRecord(
        row["gateway"],
        row["generation"],
        row["hmac"],
        bytes(row["saved"]),
        row["revision"],
        datetime.fromisoformat(row["published_at"]),
    )


def write_record(db: Utils, record: PublishedRecord) -> None:
    """Replace what was published for a gateway; a content that nobody has any more goes."""
    digest = hashlib.sha256(record.saved).hexdigest()
    db.execute(
        "INSERT INTO published_contents (digest, saved) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (digest, record.saved),
    )
    row = {
        "gateway": record.gateway,
        "generation": record.generation,
        "hmac": record.hmac,
        "content": digest,
        "revision": record.revision,
        "published_at": time_text(record.published_at),
    }
    db.execute(
        "INSERT OR REPLACE INTO published (gateway, generation, hmac, content, revision, "
        "published_at) VALUES (:gateway, :generation, :hmac, :content, :revision, :published_at)",
        row,
    )
    _drop_unused(db)


def delete_record(db: Utils, gateway: str) -> None:
    """Drop what was published for a gateway."""
    db.execute("DELETE FROM published WHERE gateway = ?", (gateway,))
    _drop_unused(db)


def _drop_unused(db: Utils) -> None:
    db.execute(
        "DELETE FROM published_contents WHERE NOT EXISTS "
        "(SELECT 1 FROM published WHERE published.content = published_contents.digest)"
    )
