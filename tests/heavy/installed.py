"""Fresh virtual environments outside the checkout, and children without root's rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PYTHONS = (
    getattr(sys, "_base_executable", sys.executable),
    "/usr/local/bin/python3",
    "/usr/bin/python3",
)
_ENOUGH = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"


def rights(uid: int) -> dict[str, Any]:
    """Arguments of Popen that make a child this user; none where we are not root ourselves."""
    return {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}


def python_for(uid: int) -> str:
    """Return an interpreter that this user may run: root's own may lie in root's home."""
    for python in PYTHONS:
        try:
            subprocess.run([python, "-c", _ENOUGH], check=True, cwd="/", timeout=120, **rights(uid))
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    raise AssertionError(f"user {uid} can run no Python 3.11 with venv: looked at {PYTHONS}")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users may read: pytest's own are for their owner only."""
    folder = Path(tempfile.mkdtemp(prefix="stoa-gitops-packaging-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def clean(**variables: str) -> dict[str, str]:
    """The environment without what would steer the program or lead it to this checkout."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STOA_", "PYTHON", "VIRTUAL_ENV", "COV_"))
    } | variables


def run(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command outside the checkout; fails with what it said."""
    options = {"cwd": "/", "env": clean(), "timeout": 600, **more}
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def make_venv(python: str, folder: Path) -> Path:
    """Make a virtual environment; return its folder of commands."""
    run([python, "-m", "venv", folder])
    return folder / "bin"


def replaced(value: str, places: Mapping[str, str]) -> str:
    """Return a word of the Dockerfile with the image's places exchanged for those of the test."""
    for before, after in places.items():
        value = value.replace(before, after)
    return value
