"""The schema of the database as numbered steps; each runs in one transaction with its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from stoa_gitops.errors import StoreError, StoreTooNew
from stoa_gitops.store.sqlite.database import Database

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils

APPLICATION_ID: Final = 0x53544F41
"""`STOA` in ASCII, in the file's header: another program's database is not taken for ours."""

Step: TypeAlias = "Callable[[Utils], None]"

_SCOPE: Final = {"owner": str, "gateway": str, "base_url": str}


def _inventory(db: Utils) -> None:
    db.table("bindings").create(
        {"owner": str, "gateway": str, "base_url": str, "bound_at": str},
        pk=("owner", "gateway"),
        not_null=("base_url", "bound_at"),
    )
    db.table("inventory").create(
        {
            **_SCOPE,
            "key": str,
            "spec": bytes,
            "gateway_id": str,
            "revision": str,
            "secret_hmacs": str,
            "adopted": int,
            "protected": int,
            "applied_at": str,
        },
        pk=(*_SCOPE, "key"),
        not_null=("spec", "gateway_id", "revision", "secret_hmacs", "applied_at"),
    )
    db.table("quarantine").create(
        {
            **_SCOPE,
            "key": str,
            "spec_digest": str,
            "gateway_version": str,
            "words": str,
            "since": str,
        },
        pk=(*_SCOPE, "key"),
        not_null=("spec_digest", "gateway_version", "words", "since"),
    )


def _history(db: Utils) -> None:
    # AUTOINCREMENT: without it SQLite gives the number of a deleted newest row out again, and a
    # number that was shown to a person would name another cycle.
    db.execute(
        "CREATE TABLE cycles (id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, "
        "gateway TEXT NOT NULL, base_url TEXT NOT NULL, actor TEXT NOT NULL, "
        "revision TEXT NOT NULL, digest TEXT NOT NULL, started_at TEXT NOT NULL, "
        "finished_at TEXT NOT NULL, error TEXT, counts TEXT NOT NULL)"
    )
    db.table("cycles").create_index(("gateway", "id"))
    db.execute(
        "CREATE TABLE outcomes (cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE, "
        "position INTEGER NOT NULL, key TEXT NOT NULL, action TEXT NOT NULL, status TEXT NOT NULL, "
        "reason TEXT NOT NULL, message TEXT NOT NULL, attempts INTEGER NOT NULL, "
        "gateway_id TEXT NOT NULL, PRIMARY KEY (cycle, position)) WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
        "actor TEXT NOT NULL, gateway TEXT NOT NULL, key TEXT NOT NULL, action TEXT NOT NULL, "
        "status TEXT NOT NULL, message TEXT NOT NULL)"
    )
    db.table("audit").create_index(("gateway", "id"))


def _coordination(db: Utils) -> None:
    db.table("conditions").create(
        {
            "subject": str,
            "type": str,
            "status": str,
            "reason": str,
            "message": str,
            "observed_generation": int,
            "last_transition": str,
        },
        pk=("subject", "type"),
        not_null=("status", "reason", "message", "observed_generation", "last_transition"),
    )
    db.table("leases").create(
        {
            "gateway": str,
            "holder": str,
            "token": str,
            "host": str,
            "machine": str,
            "pid": int,
            "process_start": str,
            "acquired_at": str,
            "expires_at": str,
        },
        pk="gateway",
        not_null=("holder", "token", "host", "machine", "pid", "acquired_at", "expires_at"),
    )


def _last_tries(db: Utils) -> None:
    # When a refused object was last tried; `since` stays at the first time.
    db.execute("ALTER TABLE quarantine ADD COLUMN tried_at TEXT NOT NULL DEFAULT ''")


def _positions(db: Utils) -> None:
    # The position of a refused object in the catalog; empty for rows of earlier versions.
    db.execute("ALTER TABLE quarantine ADD COLUMN path TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE quarantine ADD COLUMN line_number INTEGER NOT NULL DEFAULT 1")
    db.execute("ALTER TABLE quarantine ADD COLUMN column_number INTEGER NOT NULL DEFAULT 1")


def _published(db: Utils) -> None:
    # Gateways of one document mostly have one content: it is kept once, under its digest.
    db.table("published").create(
        {
            "gateway": str,
            "generation": int,
            "hmac": str,
            "content": str,
            "revision": str,
            "published_at": str,
        },
        pk="gateway",
        not_null=("generation", "hmac", "content", "revision", "published_at"),
    )
    db.table("published").create_index(("content",))
    db.table("published_contents").create(
        {"digest": str, "saved": bytes}, pk="digest", not_null=("saved",)
    )


def _registrations(db: Utils) -> None:
    texts = (
        "id", "name", "hostname", "mode", "environment", "version", "admin_url", "capabilities",
        "extensions", "tenant_id", "further", "key_fingerprint", "peer", "status", "since",
        "registered_at", "last_registered_at", "last_beat_at",
    )  # fmt: skip
    columns = {**dict.fromkeys(texts, str), "requests": int, "errors": float, "degraded": int}
    db.table("registrations").create(columns, pk="id", not_null=set(columns) - {"id"})


STEPS: Final[Sequence[Step]] = (
    _inventory,
    _history,
    _coordination,
    _last_tries,
    _positions,
    _published,
    _registrations,
)
"""Only ever appended to: a step's number is its position, from 1, and stands in the file."""


def migrate(database: Database, steps: Sequence[Step] = STEPS) -> None:
    """Bring a database to the schema of this version.

    Raises StoreTooNew where a later version has written it, StoreError where it is another
    program's. Two processes may do this at once: the second finds nothing left to do.
    """
    _refuse_foreign(database)
    _refuse_newer(database, len(steps))
    for number in range(database.pragma("user_version") + 1, len(steps) + 1):
        with database.transaction() as db:
            # Asked again under the write lock: another process may have done this step meanwhile.
            if database.pragma("user_version") >= number:
                continue
            steps[number - 1](db)
            # In the same transaction as the step. A pragma takes no bound parameters, and both
            # numbers are our own.
            db.execute(f"PRAGMA user_version={number}")
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")


def _refuse_foreign(database: Database) -> None:
    # Tables first: another process may be creating them now, and writes its id with them.
    has_tables = bool(database.rows("SELECT name FROM sqlite_master LIMIT 1"))
    identity = database.pragma("application_id")
    if identity != APPLICATION_ID and (identity or has_tables):
        raise StoreError(
            f"{database.path} is a database of another program and was not modified: choose "
            "another folder with --state"
        )


def _refuse_newer(database: Database, known: int) -> None:
    found = database.pragma("user_version")
    if found > known:
        raise StoreTooNew(
            f"{database.path} was written by a later version of stoa-gitops (schema {found}, this "
            f"one knows {known}): run that version again, or choose another folder with --state. "
            "It was not modified"
        )
