"""Writes the files of a new catalog: all of them or none, and never over one that is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.files import OWNER_ONLY, create_private_file
from stoa_gitops.operations.starter.choices import StarterChoices
from stoa_gitops.operations.starter.repository import make_repository, repository_around
from stoa_gitops.operations.starter.templates import KEYS, catalog_files, repository_files

_READABLE: Final = 0o644
_HARMLESS: Final = frozenset({".git", "README.md", "LICENSE", "LICENSE.md", ".gitattributes"})
"""What a repository has that was just made on a server: nothing of it is in the way."""

_OURS_IN_WAY: Final = frozenset({"README.md"})
"""Which of these a new catalog would have, too: the one that is there stays."""


@dataclass(frozen=True, slots=True)
class NewCatalog:
    """What `init` made: paths as people open them from the current folder.

    kept  files that would have been written and were there already, in a repository around it
    """

    folder: Path
    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    has_new_repository: bool


def check_folder(folder: Path) -> None:
    """Raise UsageError for a folder that a catalog cannot be made in."""
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        _check_parent(folder)
        return
    except NotADirectoryError:
        raise UsageError(f"{folder} is a file: name a folder") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}") from None
    in_way = sorted(names - _HARMLESS)
    if in_way:
        shown = ", ".join(in_way[:3]) + (", …" if len(in_way) > 3 else "")
        raise UsageError(
            f"{folder} is not empty ({shown}): nothing is overwritten, so name a new folder"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be written: Permission denied")


def _check_parent(folder: Path) -> None:
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not parent.is_dir():
        raise UsageError(f"{folder} cannot be made: {parent} is a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be made: Permission denied in {parent}")


def make_catalog(
    folder: Path, choices: StarterChoices, key: str, *, with_repository: bool
) -> NewCatalog:
    """Write a catalog into a folder, and make that a repository where none is around it.

    `key` is that of the first application. Raises UsageError, and leaves nothing then.
    """
    check_folder(folder)
    around = repository_around(folder)
    root = around or folder.absolute()
    inner = folder.absolute().relative_to(root).as_posix()
    own = catalog_files(choices, key)
    outer = repository_files(choices, "" if inner == "." else inner)
    texts = {folder / path: text for path, text in own.items()}
    texts |= {_seen_from(folder, root, path): text for path, text in outer.items()}
    may_stay = {_seen_from(folder, root, path) for path in outer}
    may_stay |= {folder / name for name in _OURS_IN_WAY}
    kept = tuple(path for path in texts if path in may_stay and os.path.lexists(path))
    wanted = {path: text for path, text in texts.items() if path not in kept}
    with _undone_on_failure() as made:
        _write(wanted, made)
        if with_repository and around is None:
            make_repository(folder)
    has_new = with_repository and around is None
    return NewCatalog(folder, tuple(wanted), kept, has_new)


def _seen_from(folder: Path, root: Path, path: str) -> Path:
    """Return a file of the repository as a path that begins as `folder` does."""
    up = len(folder.absolute().relative_to(root).parts)
    return Path(os.path.normpath(folder.joinpath(*[".."] * up, path)))


def _write(texts: Mapping[Path, str], made: list[Path]) -> None:
    for path, text in texts.items():
        _make_folders(path.parent, made)
        mode = OWNER_ONLY if path.name == KEYS else _READABLE
        create_private_file(path, text.encode(), mode=mode)
        made.append(path)


def _make_folders(folder: Path, made: list[Path]) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        made.append(path)


@contextlib.contextmanager
def _undone_on_failure() -> Iterator[list[Path]]:
    """Yield a list of what was made, which is removed again where the block fails."""
    made: list[Path] = []
    try:
        yield made
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, FileExistsError):
            raise UsageError(f"{error.filename} exists already: it is not overwritten") from None
        if isinstance(error, OSError):
            where = error.filename or "a file"
            raise UsageError(f"{where} cannot be written: {error.strerror}") from None
        raise
