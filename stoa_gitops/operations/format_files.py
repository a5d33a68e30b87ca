"""`fmt`: formats the documents in files and folders, in place or to see what it would do."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stoa_gitops.catalog.formatting.formatter import Formatted, format_file, is_document
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.files import replace_file

if TYPE_CHECKING:
    from stoa_gitops.model.diagnostics import Diagnostic

SUFFIXES: Final = (".yaml", ".yml")

MAX_BYTES: Final = 5_000_000
"""Largest file that is formatted: a catalog reads no larger one."""

_WRITERS: Final = 16
"""Files that are written at the same time."""


@dataclass(frozen=True, slots=True)
class FormattedFile:
    """What became of one file.

    before   its bytes
    problem  why it could not be read or written; empty where it could
    """

    path: Path
    before: bytes
    result: Formatted
    problem: str = ""

    @property
    def has_changed(self) -> bool:
        """Whether the formatted text is another one."""
        return self.result.data != self.before

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the finding of a file that is no YAML, with its position."""
        if self.result.finding is None:
            return ()
        from stoa_gitops.catalog.positions import place_findings

        path = self.path.as_posix()
        return place_findings(None, path, {path: self.before}, (self.result.finding,), 1)


def format_paths(paths: Sequence[Path], *, is_written: bool) -> Iterator[FormattedFile]:
    """Format the documents in files and folders, each file as soon as it is asked for.

    Files without a document of a catalog are left out. Raises UsageError for a path that is not
    there.
    """
    found = (one for path in _files(paths) if (one := _format_one(path)) is not None)
    yield from _written(found) if is_written else found


def _written(files: Iterator[FormattedFile]) -> Iterator[FormattedFile]:
    """Write files, several at a time: each waits for the disk, and waits that meet are one."""
    with ThreadPoolExecutor(_WRITERS) as pool:
        waiting: deque[Future[FormattedFile]] = deque()
        for file in files:
            waiting.append(pool.submit(_write, file))
            if len(waiting) >= _WRITERS:
                yield waiting.popleft().result()
        for written in waiting:
            yield written.result()


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from _files_below(path)
        elif path.exists():
            # What a link leads to is written, never the link.
            yield path.resolve() if path.is_symlink() else path
        else:
            raise UsageError(f"{path} does not exist")


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield YAML files, sorted, without hidden ones; links are formatted where they lead to."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            is_yaml = name.endswith(SUFFIXES) and not name.startswith(".")
            if is_yaml and path.is_file() and not path.is_symlink():
                yield path


def _format_one(path: Path) -> FormattedFile | None:
    try:
        with path.open("rb") as file:
            before = file.read(MAX_BYTES + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        return FormattedFile(path, b"", Formatted(b""), problem)
    if len(before) > MAX_BYTES or not is_document(before):
        return None
    try:
        result = format_file(before)
    except Exception as error:  # noqa: BLE001 - one file must not keep the others from it
        problem = f"internal error ({type(error).__name__}): report it with the file"
        return FormattedFile(path, before, Formatted(before), problem)
    return FormattedFile(path, before, result)


def _write(file: FormattedFile) -> FormattedFile:
    """Write a file that has changed; return it with the problem where that was not possible."""
    if not file.has_changed:
        return file
    path, before = file.path, file.before
    try:
        # Somebody may have saved it meanwhile: what they wrote is not to be lost.
        if path.read_bytes() != before:
            return FormattedFile(path, before, Formatted(before), "changed meanwhile: run it again")
        replace_file(path, file.result.data)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        return FormattedFile(path, before, Formatted(before), problem)
    return file
