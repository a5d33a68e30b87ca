"""Credentials of a private repository: Git settings, variables, and the askpass program."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from stoa_gitops.catalog.sources.git import askpass
from stoa_gitops.errors import CatalogError
from stoa_gitops.foundation.files import replace_private_file

_SSH: Final = (
    "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=15",
)  # fmt: skip
_LINE_LIMIT: Final = 127
"""Longest `#!` line that every kernel reads (Linux before 5.1 cut it at 127 bytes)."""


@dataclass(frozen=True, slots=True)
class GitAccess:
    """How one remote is opened. Only the names of files are kept, never their contents."""

    url: str
    token_file: Path | None = None
    ssh_key_file: Path | None = None

    def settings(self) -> dict[str, str]:
        """Return the Git configuration for this remote."""
        found = {f"protocol.{name}.allow": "always" for name in ("https", "ssh", "file", "http")}
        if self.token_file is not None:
            found[f"credential.{self._address}.username"] = askpass.USERNAME
            found["credential.interactive"] = "true"  # without it newer versions do not ask
        return found

    def variables(self, folder: Path) -> dict[str, str]:
        """Return environment variables for Git.

        Raises CatalogError where the askpass program cannot be written into `folder`.
        """
        # BatchMode: ssh must fail instead of asking; strict: an unknown host key is an error.
        ssh = list(_SSH)
        if self.ssh_key_file is not None:
            ssh += ["-o", "IdentitiesOnly=yes", "-i", str(self.ssh_key_file.absolute())]
        found = {"GIT_ALLOW_PROTOCOL": "https:ssh:file:http", "GIT_SSH_COMMAND": shlex.join(ssh)}
        if self.token_file is not None:
            found["GIT_ASKPASS"] = str(write_askpass(folder))
            found[askpass.FILE] = str(self.token_file.absolute())
            found[askpass.ADDRESS] = self._address
        return found

    @property
    def _address(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def write_askpass(folder: Path) -> Path:
    """Return the program that Git runs to ask for a password; written where it is missing."""
    text = _text()
    path = folder / f"askpass-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    try:
        if path.is_file() and path.read_text("utf-8") == text and os.access(path, os.X_OK):
            return path
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_private_file(path, text.encode(), mode=0o700)
    except OSError as error:
        raise CatalogError(
            f"the cache folder {folder} cannot be written: {error.strerror}"
        ) from None
    return path


def _text() -> str:
    """Return a script for our own interpreter; through a shell where `#!` cannot name its path."""
    python, file = sys.executable, str(Path(askpass.__file__).absolute())
    first = f"#!{python} -sP\n"
    if " " in python or len(os.fsencode(first)) > _LINE_LIMIT:
        return f'#!/bin/sh\nexec {shlex.quote(python)} -sP {shlex.quote(file)} "$@"\n'
    return f"{first}import runpy\nrunpy.run_path({file!r}, run_name='__main__')\n"
