"""One `run` per state folder: a lock that the kernel releases however its holder ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from stoa_gitops.errors import StoaGitopsError, StoreError
from stoa_gitops.state_folder import runtime_file
from stoa_gitops.store.folder import make_state_folder

log = logging.getLogger(__name__)

FILE: Final = runtime_file.LOCK

RETRY_PAUSES: Final = (0.01, 0.05, 0.1)
"""Seconds between attempts: a command that asks whether a `run` lives holds it for a moment."""


class StateTaken(StoaGitopsError):
    """Another process runs with this state folder."""

    reason: ClassVar[str] = "StateTaken"


@contextlib.contextmanager
def hold_state_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for one `run`.

    Raises StateTaken, with the process that holds it and where that listens, and StoreError where
    the file cannot be created. Other commands do not take it: they work beside a `run`, and leases
    keep them from writing to a gateway at the same time.
    """
    make_state_folder(folder)
    path = folder / FILE
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    try:
        _acquire_lock(lock, folder)
        # A killed process left it, and another program may listen there by now.
        _remove_file(folder / runtime_file.FILE)
        yield
    finally:
        # The file stays: a process that opened it before it was removed, and one that created it
        # anew, would each hold a lock.
        os.close(lock)


def _remove_file(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror}") from None


def _acquire_lock(lock: int, folder: Path) -> None:
    try:
        _flock(lock)
    except OSError as error:
        if error.errno in _HELD_BY_ANOTHER:
            raise StateTaken(_holder_message(lock, folder)) from None
        # Some network file systems have no locks: better unguarded than not at all.
        log.warning("%s cannot be locked (%s): start one `run` only", folder, error.strerror)
        return
    # The number is for the message to others only, and the store reports a full disk.
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


_HELD_BY_ANOTHER: Final = (errno.EAGAIN, errno.EACCES)
"""What flock(2) answers for a lock that is held; EACCES where NFS emulates it by fcntl(2)."""


def _flock(lock: int) -> None:
    for pause in RETRY_PAUSES:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD_BY_ANOTHER:
                raise
        time.sleep(pause)
    return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder_message(lock: int, folder: Path) -> str:
    """Return who holds it; a process that has just started has no address yet."""
    pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
    running = runtime_file.read_runtime(folder)
    is_its_file = running is not None and str(running.pid) == pid
    addresses = [
        f"{name} {url}"
        for name, url in (
            ("control", running.control if running and is_its_file else ""),
            ("gateway", running.gateway if running and is_its_file else ""),
        )
        if url
    ]
    who = f"process {pid}" if pid else "another process"
    where = f" ({', '.join(addresses)})" if addresses else ""
    return (
        f"{who}{where} runs with {folder} already: stop it, or choose another folder with --state"
    )
