"""Files written atomically: a reader finds the whole content, or what was there before.

All functions write a temporary file beside the target, with the mode given and not the process's
umask alone, flush it to the disk and only then give it its name. A crash leaves at most a hidden
temporary file that nobody reads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

OWNER_ONLY: Final = 0o600

_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_NO_HARD_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What link(2) answers on file systems without hard links: FAT and some network mounts."""


def replace_private_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Write a file in one step and replace one that is there; raises OSError.

    After an error the old file is unchanged and nothing is left beside it.
    """
    with _temporary_file(path, mode) as (temporary, file):
        _write(file, content)
        temporary.replace(path)
    _flush_folder(path.parent)


def replace_inside(root: Path, path: str, content: bytes, *, mode: int = OWNER_ONLY) -> Path:
    """Write a file of a folder as `replace_private_file` does, folders included, and return it.

    Raises OSError, also where a symbolic link below `root` is on the way: whoever may write one
    part of a repository would otherwise have files written elsewhere.
    """
    file = root / path
    check_inside(root, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    check_inside(root, path)
    replace_private_file(file, content, mode=mode)
    return file


def check_inside(root: Path, path: str) -> None:
    """Raise OSError (ELOOP) where a folder of `path` below `root` is a symbolic link."""
    expected = (Path(os.path.realpath(root)) / path).parent
    if os.path.realpath((root / path).parent) != os.path.normpath(expected):
        raise OSError(errno.ELOOP, "a folder on the way is a symbolic link")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file anew in one step, with the rights and the owner that it has; raises OSError.

    After a power cut it may be the old file again: nobody waits for its folder.
    """
    with Replacement(path, content) as replacement:
        replacement.flush()
        replacement.commit()


class Replacement:
    """The new content of a file, written beside it until `commit` gives it the name.

    For many files at once, whose waits for the disk become one: write all, flush all, commit all.
    Where this process may not give files away, the new file is its own. All methods and the making
    raise OSError; without `commit` the old file stays, and `close` removes the new one.
    """

    __slots__ = ("_descriptor", "_path", "_temporary")

    def __init__(self, path: Path, content: bytes) -> None:
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        self._path = path
        self._temporary: Path | None = _temporary_name(path)
        self._descriptor = os.open(self._temporary, _CREATE, mode)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._descriptor, view) :]
            made = os.fstat(self._descriptor)
            if made.st_mode != status.st_mode:  # the umask took something
                os.fchmod(self._descriptor, mode)
            if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
                with contextlib.suppress(PermissionError):
                    os.fchown(self._descriptor, status.st_uid, status.st_gid)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def flush(self) -> None:
        """Wait until the content is on the disk: may be called in another thread."""
        os.fsync(self._descriptor)

    def commit(self) -> None:
        """Put the new file in the place of the old one; only after `flush`."""
        if self._temporary is not None:
            self._temporary.replace(self._path)
            self._temporary = None

    def close(self) -> None:
        """Close the new file, and remove it where it did not get its name; twice is once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file, and at most one more than `limit`; raises OSError.

    A buffered file asks the system for seven things more, which 10,000 small files feel.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        left = limit + 1
        parts = []
        # One more than there should be: the first read then is the last but one.
        size = os.fstat(descriptor).st_size + 1
        while part := os.read(descriptor, min(size, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def create_private_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Write a new file in one step; raises FileExistsError for one that is there, else OSError.

    Of several processes that create the same file at once, one wins and the others get
    FileExistsError, with the winner's file complete by then.
    """
    with new_private_file(path, mode=mode) as file:
        file.write(content)


@contextlib.contextmanager
def new_private_file(path: Path, *, mode: int = OWNER_ONLY) -> Iterator[BinaryIO]:
    """Give a file to write piece by piece, which gets its name when the block ends without error.

    Until then, and after an error, nothing has the name. Raises as `create_private_file`.
    """
    with _temporary_file(path, mode) as (temporary, file):
        yield file
        _write(file, b"")
        try:
            # link(2) refuses an existing name in the same step; rename(2) would overwrite it.
            path.hardlink_to(temporary)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _reserve(path, mode)
            temporary.replace(path)
    _flush_folder(path.parent)


def _reserve(path: Path, mode: int) -> None:
    """Create an empty file, so that the name is ours; raises FileExistsError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))


def _temporary_name(path: Path) -> Path:
    # Random, not the process id: containers that share a folder all run as process 1.
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}")


@contextlib.contextmanager
def _temporary_file(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a temporary file beside `path`; it is removed where it was not renamed."""
    temporary = _temporary_name(path)
    descriptor = os.open(temporary, _CREATE, mode)
    try:
        # Read and written: what was written may have to be checked before it gets its name.
        with os.fdopen(descriptor, "w+b") as file:
            yield temporary, file
    finally:
        temporary.unlink(missing_ok=True)


def _write(file: BinaryIO, content: bytes) -> None:
    """Write and flush to the disk."""
    file.write(content)
    file.flush()
    # Before the rename: ext4 and XFS may otherwise keep the new name of an empty file after a
    # power cut.
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the file system can promise that."""
    # The file is complete and visible by now. Some network mounts refuse fsync(2) of a folder,
    # and a folder that this user may only write to cannot be opened for reading: no reason to fail.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
