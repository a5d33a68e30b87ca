"""The control listener's bearer token: given, or created at the first start beside the store."""

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


def load_or_create(folder: Path, given: Secret | None) -> Secret:
    """Return the token that is given, or that of the state folder, created where there is none.

    The file (0600) survives restarts, so that monitoring keeps its token. Raises StoreError for a
    file that cannot be read or written, is empty, or can be read by others.
    """
    if given is not None:
        return given
    path = folder / FILE
    if path.exists():
        return _read(path)
    try:
        return _create(path)
    except FileExistsError:  # another process was quicker: its token counts
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
    if mode & 0o077:  # group and others must have no access, as ssh asks of its keys
        raise StoreError(
            f"{path} can be read by others: chmod 600 it, or remove it to have a new one"
        )
    if not text:
        raise StoreError(f"{path} is empty: remove it to have a new token")
    return Secret(text)
