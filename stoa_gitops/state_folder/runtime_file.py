"""Where a running process listens and its tokens: a file that only its owner can read.

With it `plan`, `apply` and `status` on the same machine reach the embedded gateway without any setting.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from stoa_gitops.errors import StoreError
from stoa_gitops.foundation.files import replace_private_file

FILE: Final = "runtime.json"
LOCK: Final = "run.lock"
"""The file that a `run` holds locked for as long as it lives."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Addresses are base URLs; tokens never show in `repr`."""

    pid: int
    control: str = ""
    gateway: str = ""
    control_token: str = field(default="", repr=False)
    admin_token: str = field(default="", repr=False)


def write(folder: Path, runtime: Runtime) -> None:
    """Replace the file in one step, mode 0600; StoreError when the folder cannot be written."""
    path = folder / FILE
    text = json.dumps(asdict(runtime), indent=2, sort_keys=True)
    try:
        replace_private_file(path, text.encode())
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


def read(folder: Path) -> Runtime | None:
    """Return what the running process wrote; None when none runs or the file is not ours to read.

    What a killed process left is known by its lock, which went with it: its number may be another process's by now, and
    in a container it is.
    """
    try:
        found = json.loads((folder / FILE).read_text("utf-8"))
        runtime = Runtime(**found)
    except (OSError, ValueError, TypeError):
        return None
    is_held = _is_held(folder)
    return runtime if is_held or (is_held is None and _is_alive(runtime.pid)) else None


def remove(folder: Path) -> None:
    """Forget this process, which ends. One that cannot is known by the lock that it no longer holds."""
    runtime = read(folder)
    if runtime is not None and runtime.pid == os.getpid():
        with contextlib.suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


def _is_held(folder: Path) -> bool | None:
    """Whether a `run` holds the lock of a folder; None where the file system cannot tell."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EAGAIN, errno.EACCES) else None
    finally:
        os.close(lock)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def default_folder(environment: dict[str, str] | os._Environ[str]) -> Path:
    """Return `$XDG_STATE_HOME/stoa-gitops`, or `~/.local/state/stoa-gitops`."""
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "stoa-gitops"
