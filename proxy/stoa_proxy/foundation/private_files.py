"""Files that nobody but this process's user may read: written whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def read_private(path: Path, most: int) -> bytes:
    """Return a file's content, nothing without a file.

    Raises OSError for one of more than `most` bytes, for a link, and for one that others may have
    written.
    """
    try:
        # A link could lead to whatever this process may read.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    with os.fdopen(number, "rb") as file:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise OSError(None, "it is no file of this gateway")
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(None, "others may have written it")
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Replace a file, mode 0600 in folders 0700; the old one stays until the new one is whole.

    Raises OSError.
    """
    _make_folder(path.parent)
    partial = path.with_name(f".{path.name}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(partial, flags, mode=0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    # `parents=True` would give those above the mode of the umask.
    if not folder.parent.exists():
        _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
