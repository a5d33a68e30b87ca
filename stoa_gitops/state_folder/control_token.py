"""The control listener's bearer token: given, or made at the first start and kept beside the store."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from stoa_gitops.errors import StoreError
from stoa_gitops.foundation.files import create_private_file
from stoa_gitops.model.secret import Secret

FILE: Final = "control-token"

_TOKEN_BYTES: Final = 32
"""Random bytes of a token: 256 bits, so that guessing is no way in."""


def kept(folder: Path, given: Secret | None) -> Secret:
    """Return the token that is given, or that of the state folder, made (0600) where there is none.

    It survives restarts, so that monitoring keeps its key. Raises StoreError for a file that cannot be read
    or written, is empty, or can be read by others.
    """
    if given is not None:
        return given
    path = folder / FILE
    if path.exists():
        return _read(path)
    try:
        return _create(path)
    except FileExistsError:  # another process was quicker
        return _read(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


def _create(path: Path) -> Secret:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    create_private_file(path, f"{token}\n".encode("ascii"))
    return Secret(token)


def _read(path: Path) -> Secret:
    try:
        mode, text = path.stat().st_mode, path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from None
    if mode & 0o077:
        raise StoreError(
            f"{path} can be read by others: chmod 600 it, or remove it to have a new one"
        )
    if not text:
        raise StoreError(f"{path} is empty: remove it to have a new token")
    return Secret(text)
