"""SQLite databases that only this user may read, for what outlives the process."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

Connection = sqlite3.Connection

DatabaseError = sqlite3.Error
"""What calls of a database raise, beside OSError."""

# Of waiting for a reader, such as a backup.
_BUSY_SECONDS: Final = 5.0


@contextlib.contextmanager
def open_database(path: Path, create: str) -> Iterator[sqlite3.Connection]:
    """Open a database, and make it and its folder where they are not there.

    `create` is the statement that makes its table. Raises OSError and DatabaseError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A link could lead to whatever this process may write; SQLite would follow it.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(path, flags, 0o600))
    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database:
        database.execute(create)
        yield database
