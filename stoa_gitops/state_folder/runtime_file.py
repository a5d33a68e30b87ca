"""Where a running process listens, and its tokens, in a file that only its owner can read.

With it `plan`, `apply` and `status` on the same machine reach the process without any setting.
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
"""The file that a `run` keeps locked while it lives."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Addresses are base URLs; tokens never show in `repr`."""

    pid: int
    control: str = ""
    gateway: str = ""
    control_token: str = field(default="", repr=False)
    admin_token: str = field(default="", repr=False)


def write_runtime(folder: Path, runtime: Runtime) -> None:
    """Write the file atomically, mode 0600; raises StoreError."""
    path = folder / FILE
    text = json.dumps(asdict(runtime), indent=2, sort_keys=True)
    try:
        replace_private_file(path, text.encode())
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


def read_runtime(folder: Path) -> Runtime | None:
    """Return what the running process wrote; None where none runs or the file is unreadable."""
    try:
        fields = json.loads((folder / FILE).read_text("utf-8"))
        runtime = Runtime(**fields)
    except (OSError, ValueError, TypeError):
        return None
    # A killed process leaves its file, and its lock went with it. Its pid says little: another
    # process may have it by now, and in a container the next `run` has.
    is_held = _is_held(folder)
    return runtime if is_held or (is_held is None and _is_alive(runtime.pid)) else None


def remove_runtime(folder: Path) -> None:
    """Remove the file of this process; a failure does no harm: the lock ends with the process."""
    runtime = read_runtime(folder)
    if runtime is not None and runtime.pid == os.getpid():
        with contextlib.suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


def _is_held(folder: Path) -> bool | None:
    """Whether a `run` holds the lock of a folder; None where the file system has no locks."""
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
