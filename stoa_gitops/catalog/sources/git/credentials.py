"""What opens a private repository: settings and variables for Git, and the program that tells it a token."""

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
"""Bytes that every kernel reads of the first line of a script."""


@dataclass(frozen=True, slots=True)
class GitAccess:
    """How one remote is opened, and nothing but it. Only names of files are kept, never what they hold."""

    url: str
    token_file: Path | None = None
    ssh_key_file: Path | None = None

    def settings(self) -> dict[str, str]:
        """Return settings of Git."""
        found = {f"protocol.{name}.allow": "always" for name in ("https", "ssh", "file", "http")}
        if self.token_file is not None:
            found[f"credential.{self._address}.username"] = askpass.USERNAME
            found["credential.interactive"] = "true"  # without it newer versions do not ask
        return found

    def variables(self, folder: Path) -> dict[str, str]:
        """Return variables for Git; CatalogError where `folder` cannot take the program that tells it a token."""
        ssh = list(_SSH)
        if self.ssh_key_file is not None:
            ssh += ["-o", "IdentitiesOnly=yes", "-i", str(self.ssh_key_file.absolute())]
        found = {"GIT_ALLOW_PROTOCOL": "https:ssh:file:http", "GIT_SSH_COMMAND": shlex.join(ssh)}
        if self.token_file is not None:
            found["GIT_ASKPASS"] = str(program(folder))
            found[askpass.FILE] = str(self.token_file.absolute())
            found[askpass.ADDRESS] = self._address
        return found

    @property
    def _address(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def program(folder: Path) -> Path:
    """Return the program that Git starts to ask for a password, made where it is not there yet."""
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
    """Return a script that our own interpreter runs; a path that no first line can name needs a shell after all."""
    python, file = sys.executable, str(Path(askpass.__file__).absolute())
    first = f"#!{python} -sP\n"
    if " " in python or len(os.fsencode(first)) > _LINE_LIMIT:
        return f'#!/bin/sh\nexec {shlex.quote(python)} -sP {shlex.quote(file)} "$@"\n'
    return f"{first}import runpy\nrunpy.run_path({file!r}, run_name='__main__')\n"
