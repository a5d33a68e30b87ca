"""The Git repository of a new catalog: the one around it, or one of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from stoa_gitops.errors import UsageError

_TIMEOUT: Final = 30.0
"""Seconds for `git init`, which copies a few files."""

_HEAD_OF_CONFIG: Final = 64 << 10
"""Bytes of .git/config that are looked at: a large one has a few kilobytes."""


def repository_around(folder: Path) -> Path | None:
    """Return the working tree that a folder lies in, or is, whether the folder exists or not."""
    absolute = folder.absolute()
    # `.git` is a file in worktrees and submodules.
    return next((p for p in (absolute, *absolute.parents) if (p / ".git").exists()), None)


def require_git() -> None:
    """Raise UsageError where there is no Git."""
    if shutil.which("git") is None:
        raise UsageError(
            "git is not installed: install it, or make a folder without a repository by --vcs none"
        )


def make_repository(folder: Path) -> None:
    """Make a folder a repository whose branch is `main`; raises UsageError where Git refuses."""
    # What a hook or a shell says of another repository (GIT_DIR …) must not reach this one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "init", "--quiet", "--initial-branch=main", str(folder)],
            env=env,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git init failed ({type(error).__name__}): try --vcs none") from None
    if done.returncode:
        raise UsageError(f"git init failed: {done.stderr.strip() or done.returncode}")


def ci_system_of(repository: Path | None) -> str:
    """Return whose CI a repository's `origin` suggests; `github` where nothing says so."""
    if repository is None:
        return "github"
    try:
        with (repository / ".git" / "config").open("rb") as file:
            config = file.read(_HEAD_OF_CONFIG).decode("utf-8", "replace")
    except OSError:  # none, or a worktree, whose configuration is elsewhere
        return "github"
    origin = re.search(r'\[remote "origin"\][^\[]*?url\s*=\s*(\S+)', config)
    return "gitlab" if origin and "gitlab" in origin[1].lower() else "github"
