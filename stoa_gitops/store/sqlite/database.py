"""One SQLite connection: opening, transactions, and errors that say what to do.

The only module that imports SQLite. sqlite_utils takes 0.1 s to import, so that happens when a
store is opened and not before.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stoa_gitops.errors import StoreError
from stoa_gitops.store.records import Version

if TYPE_CHECKING:
    from sqlite_utils import Database as SqliteUtilsDatabase

Row: TypeAlias = dict[str, Any]
Value: TypeAlias = "str | int | float | bytes | None"

BUSY_TIMEOUT: Final = 10.0
"""Seconds that a statement waits for another process before it gives up."""

CHECK_BELOW: Final = 64 << 20
"""Bytes up to which a whole file is checked when it is opened (20 ms for 10 MB)."""


@dataclass(frozen=True, slots=True)
class SqliteVersion(Version):
    """Two counters of one connection, which each see what the other does not.

    data_version   `PRAGMA data_version`: moves when another connection commits, never by our own
    total_changes  rows that this connection inserted, updated or deleted since it was opened
    """

    data_version: int
    total_changes: int


class Database:
    """One connection, used by the thread that opened it; writes only inside `transaction()`."""

    def __init__(self, path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """Open or create the file, mode 0600; raises StoreError.

        An existing file is not written to.
        """
        self.path = path
        self._busy_timeout = busy_timeout
        _create_private(path)
        with self.errors_translated():
            # isolation_level=None: transactions begin and end where `transaction` says so.
            self._connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
        try:
            self._utils = self._configure()
        except BaseException:
            self._connection.close()
            raise
        self._is_together = self._has_begun = False

    def _configure(self) -> SqliteUtilsDatabase:
        from sqlite_utils import Database as Utils

        with self.errors_translated():
            if self.path.stat().st_size < CHECK_BELOW:
                self._check()
            # No plugins: packages of the environment must not run code in this process.
            utils = Utils(self._connection, execute_plugins=False)
            # Off by default, and outcomes go with their cycle by ON DELETE CASCADE.
            self._connection.execute("PRAGMA foreign_keys=ON")
            # KiB of pages beside the system's own cache, 2,000 by default: what is read more than
            # once fits, and scans of a large store fit in neither.
            self._connection.execute("PRAGMA cache_size=-512")
            # With a write-ahead log NORMAL may lose the last commits at a power cut: what was
            # applied would then be unknown.
            self._connection.execute("PRAGMA synchronous=FULL")
            return utils

    def _check(self) -> None:
        (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise StoreError(_damaged(self.path, str(answer)))

    def use_write_ahead_log(self) -> None:
        """Let readers go on while a writer works; the setting is kept in the file."""
        with self.errors_translated():
            self._utils.enable_wal()

    def pragma(self, name: str) -> int:
        """Return a pragma that is a number."""
        with self.errors_translated():
            return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def version(self) -> SqliteVersion:
        """Return a value that is equal as long as neither this connection nor another one wrote."""
        return SqliteVersion(self.pragma("data_version"), self._connection.total_changes)

    @contextmanager
    def transaction(self) -> Iterator[SqliteUtilsDatabase]:
        """Write all or nothing; what is read inside stays true until the end.

        Within `together` all that comes before the end of that is one transaction.
        """
        with self.errors_translated():
            undo: tuple[str, ...]
            if self._is_together:
                self._join()
                begin, end, undo = (
                    "SAVEPOINT one",
                    "RELEASE one",
                    ("ROLLBACK TO one", "RELEASE one"),
                )
            else:
                # IMMEDIATE takes the write lock now: a deferred one may fail at its first write
                # with SQLITE_BUSY_SNAPSHOT after it has read.
                begin, end, undo = "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)
            self._connection.execute(begin)
            try:
                yield self._utils
                self._connection.execute(end)
            except BaseException:
                # SQLite rolls back by itself after some errors (SQLITE_FULL among them).
                if self._connection.in_transaction:
                    for statement in undo:
                        self._connection.execute(statement)
                raise

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit the transactions inside at once, at the end.

        One that fails takes none of the others with it. Raises StoreError where the commit fails,
        and then nothing of any of them is stored.
        """
        self._is_together, self._has_begun = True, False
        try:
            with self.errors_translated():
                try:
                    yield
                    if self._has_begun:
                        self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
        finally:
            self._is_together = False

    def _join(self) -> None:
        """Begin what `together` commits, with the first transaction inside."""
        if not self._has_begun:
            self._connection.execute("BEGIN IMMEDIATE")
            self._has_begun = True
        elif not self._connection.in_transaction:
            # Another beginning would let the end commit, and lose those before unnoticed.
            raise StoreError(f"{self.path}: what was written before was rolled back")

    def rows(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> list[Row]:
        """Read rows as dicts."""
        with self.errors_translated():
            cursor = self._connection.execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def execute(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> int:
        """Write inside a transaction; return the number of rows that changed."""
        if not self._connection.in_transaction:
            raise AssertionError("write inside transaction()")
        return self._connection.execute(sql, values).rowcount

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._connection.close()

    @contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Turn errors of SQLite into StoreError with the next step."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # wrong use of the connection is a mistake of ours, and no state of the file
        except sqlite3.Error as error:
            raise StoreError(self._message(error)) from error

    def _message(self, error: sqlite3.Error) -> str:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return _damaged(self.path, str(error))
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return (
                f"{self.path} could not be written ({error}): the disk is full or failing. Nothing "
                "of this step was stored; free some space and try again"
            )
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return (
                f"{self.path} cannot be written ({error}): give this user write access to the file "
                "and its folder, or choose another folder with --state"
            )
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return (
                f"{self.path} has been locked by another process for {self._busy_timeout:g} s: "
                "wait for it to end, or look for one that hangs"
            )
        return f"{self.path}: {error}"


def _damaged(path: Path, detail: str) -> str:
    return (
        f"{path} is damaged or is not a store ({detail}). It was not modified: move it aside and "
        "restart; what is managed on a gateway is then found by its ownership marks"
    )


def _create_private(path: Path) -> None:
    """Create an empty file before SQLite does, because SQLite would make it readable for all.

    SQLite gives its companions (-wal, -shm) the mode of this one.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened ({error.strerror}): give this user write access to the file "
            "and its folder, or choose another folder with --state"
        ) from error
