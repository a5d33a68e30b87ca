"""One `run` for each state folder: a lock that the kernel gives back whatever becomes of its holder."""

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
from stoa_gitops.state_folder import runtime_file as runtime
from stoa_gitops.store.folder import make_state_folder

log = logging.getLogger(__name__)

FILE: Final = runtime.LOCK

LOOKS: Final = (0.01, 0.05, 0.1)
"""Seconds after which one that holds it is asked again: who only looks whether it is held has it for a moment."""


class StateTaken(StoaGitopsError):
    """Another process runs with this state folder."""

    reason: ClassVar[str] = "StateTaken"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for one `run`; its file stays, because removing it would let two hold it at once.

    Raises StateTaken, with who holds it and where that listens, and StoreError where the file cannot be made. Other
    commands do not ask for it: they work beside a `run`, and its leases keep them from writing at once.
    """
    make_state_folder(folder)
    path = folder / FILE
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    try:
        _take(lock, folder)
        # What a killed process left says where to reach somebody else by now.
        _remove(folder / runtime.FILE)
        yield
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror}") from None


def _take(lock: int, folder: Path) -> None:
    try:
        _lock(lock)
    except OSError as error:
        if error.errno in _TAKEN:
            raise StateTaken(_holder(lock, folder)) from None
        # Some network file systems have no locks: better unguarded than not at all.
        log.warning("%s cannot be locked (%s): start one `run` only", folder, error.strerror)
        return
    with contextlib.suppress(OSError):  # it is for words only, and a full disk is said by the store
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


_TAKEN: Final = (errno.EAGAIN, errno.EACCES)


def _lock(lock: int) -> None:
    for pause in LOOKS:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        time.sleep(pause)
    return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(lock: int, folder: Path) -> str:
    """Say who holds it; a process that has only begun has no address yet."""
    pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
    running = runtime.read(folder)
    known = running is not None and str(running.pid) == pid
    addresses = [
        f"{name} {url}"
        for name, url in (
            ("control", running.control if running and known else ""),
            ("gateway", running.gateway if running and known else ""),
        )
        if url
    ]
    who = f"process {pid}" if pid else "another process"
    where = f" ({', '.join(addresses)})" if addresses else ""
    return (
        f"{who}{where} runs with {folder} already: stop it, or choose another folder with --state"
    )
