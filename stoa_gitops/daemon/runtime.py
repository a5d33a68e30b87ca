"""Where a running process listens and its tokens: a file that only its owner can read.

With it `plan`, `apply` and `status` on the same machine reach the embedded gateway without any setting.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "runtime.json"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Addresses are base URLs; tokens never show in `repr`."""

    pid: int
    control: str = ""
    gateway: str = ""
    control_token: str = field(default="", repr=False)
    admin_token: str = field(default="", repr=False)


def write(folder: Path, runtime: Runtime) -> None:
    """Replace the file in one step, mode 0600; OSError when the folder cannot be written."""
    path = folder / FILE
    temporary = folder / f".{FILE}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(runtime), file, indent=2, sort_keys=True)
    temporary.replace(path)


def read(folder: Path) -> Runtime | None:
    """Return what the running process wrote; None when none runs or the file is not ours to read."""
    try:
        found = json.loads((folder / FILE).read_text("utf-8"))
        runtime = Runtime(**found)
    except (OSError, ValueError, TypeError):
        return None
    return runtime if _is_alive(runtime.pid) else None


def remove(folder: Path) -> None:
    """Forget this process, which ends."""
    runtime = read(folder)
    if runtime is not None and runtime.pid == os.getpid():
        (folder / FILE).unlink(missing_ok=True)


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
