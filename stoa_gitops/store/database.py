"""The one door to SQLite: opening, transactions, and errors in words.

sqlite_utils takes 0.1 s to import, so it is imported here, when a store is opened, and nowhere else.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stoa_gitops.errors import StoreError

if TYPE_CHECKING:
    from sqlite_utils import Database as SqliteUtilsDatabase

Row: TypeAlias = dict[str, Any]
Value: TypeAlias = "str | int | float | bytes | None"

BUSY_TIMEOUT: Final = 10.0
"""Seconds that a statement waits for another process before it gives up."""

CHECK_BELOW: Final = 64 << 20
"""Bytes up to which a file is checked from end to end when it is opened (20 ms for 10 MB)."""


class Database:
    """One connection, used by the thread that opened it. Writes happen inside `transaction()` only."""

    def __init__(self, path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """Open or make the file, mode 0600; raises StoreError. Nothing is written into an existing one."""
        self.path = path
        self._busy_timeout = busy_timeout
        _make_private(path)
        with self.translated():
            self._connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
        try:
            self._utils = self._prepared()
        except BaseException:
            self._connection.close()
            raise

    def _prepared(self) -> SqliteUtilsDatabase:
        from sqlite_utils import Database as Utils

        with self.translated():
            if self.path.stat().st_size < CHECK_BELOW:
                self._check()
            utils = Utils(self._connection, execute_plugins=False)
            self._connection.execute("PRAGMA foreign_keys=ON")
            self._connection.execute("PRAGMA synchronous=FULL")
            return utils

    def _check(self) -> None:
        (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise StoreError(_damaged(self.path, str(answer)))

    def use_write_ahead_log(self) -> None:
        """Let readers go on while somebody writes; remembered in the file."""
        with self.translated():
            self._utils.enable_wal()

    def pragma(self, name: str) -> int:
        """Return a pragma that is a number."""
        with self.translated():
            return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def version(self) -> tuple[int, int]:
        """Return a value that is equal as long as neither this connection nor another one wrote."""
        return self.pragma("data_version"), self._connection.total_changes

    @contextmanager
    def transaction(self) -> Iterator[SqliteUtilsDatabase]:
        """Write all or nothing. The lock is taken at once, so what is read inside stays true."""
        with self.translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._utils
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors (disk full among them)
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> list[Row]:
        """Read rows as dicts."""
        with self.translated():
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
    def translated(self) -> Iterator[None]:
        """Turn what SQLite and the system say into StoreError with the next step."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            raise StoreError(self._words(error)) from error

    def _words(self, error: sqlite3.Error) -> str:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return _damaged(self.path, str(error))
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return (
                f"{self.path} could not be written ({error}): the disk is full or failing. Nothing of this "
                "step was stored; free some space and try again"
            )
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return (
                f"{self.path} cannot be written ({error}): give this user write access to the file and its "
                "folder, or choose another folder with --state"
            )
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return (
                f"{self.path} has been locked by another process for {self._busy_timeout:g} s: wait for "
                "it to end, or look for one that hangs"
            )
        return f"{self.path}: {error}"


def _damaged(path: Path, detail: str) -> str:
    return (
        f"{path} is damaged or is not a store ({detail}). It was left as it is: move it away and start again; "
        "what is managed on a gateway is then found by its marks"
    )


def make_folder(folder: Path) -> None:
    """Make the folder of the state, for its owner only; one that exists keeps its mode."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be made ({error.strerror}): choose another folder with --state"
        ) from error


def _make_private(path: Path) -> None:
    """Make an empty file before SQLite does, because SQLite would make it readable for all.

    Its companions (-wal, -shm) get the mode of this one.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened ({error.strerror}): give this user write access to the file and its "
            "folder, or choose another folder with --state"
        ) from error
