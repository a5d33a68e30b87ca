"""Reads the file behind a reference: what is opened is what was checked."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# A larger file is a mistake: a chain of certificates has some 10 KiB.
MAX_BYTES: Final = 64 << 10

_TRIES: Final = 3
"""Kubernetes swaps a link when a mounted secret changes: the next try finds the new one."""

_SWAPPED: Final = (errno.ELOOP, errno.ENOTDIR, errno.ENOENT)
"""What opening says where a part of the real path has become a link, or is gone."""

_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
# O_NONBLOCK: opening a pipe without a writer would wait for one.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_checked(path: Path, check: Callable[[str], None], forbidden: Path | None = None) -> bytes:
    """Read a regular file, up to one byte over the limit.

    `check` gets the real path and raises where it must not be read. The file is then opened part by
    part without following any link, so a link that is put there meanwhile leads nowhere. A folder
    on the way that is `forbidden`, under whatever name, ends the reading, too.

    Raises what `check` raises, OSError where the file cannot be read, ValueError for no regular
    file and for a path that no system has.
    """
    for left in reversed(range(_TRIES)):
        real = os.path.realpath(path)
        check(real)
        try:
            with _opened(real, _identity(forbidden)) as handle:
                return _read(handle)
        except OSError as error:
            if error.errno not in _SWAPPED or not left:
                raise
    raise AssertionError("the last try returns or raises")


def _identity(folder: Path | None) -> tuple[int, int] | None:
    try:
        found = folder.stat() if folder is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


@contextmanager
def _opened(real: str, forbidden: tuple[int, int] | None) -> Iterator[int]:
    """Open a real path part by part; yields the file's descriptor."""
    *folders, name = real.lstrip("/").split("/")
    if not name:
        raise ValueError("not a regular file")
    at = os.open("/", _FOLDER)
    try:
        for part in folders:
            below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
            found = os.fstat(at)
            if (found.st_dev, found.st_ino) == forbidden:
                raise PermissionError(errno.EACCES, "it lies in the state folder")
        handle = os.open(name, _FILE, dir_fd=at)
    finally:
        os.close(at)
    try:
        yield handle
    finally:
        os.close(handle)


def _read(handle: int) -> bytes:
    # Checked on the open file: a path may be replaced between two calls.
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise ValueError("not a regular file")
    parts = []
    left = MAX_BYTES + 1
    while left and (part := os.read(handle, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
