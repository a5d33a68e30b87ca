"""The folder of the store: created for its owner only, and checked for a store in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stoa_gitops.errors import StoreError

DATABASE_FILE: Final = "state.db"


def has_store(folder: Path) -> bool:
    """Whether anything was ever stored here: a command that only reads must not create a store."""
    return (folder / DATABASE_FILE).exists()


def make_state_folder(folder: Path) -> None:
    """Create the folder with mode 0700; an existing one keeps its mode. Raises StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be created ({error.strerror}): choose another folder with --state"
        ) from error
