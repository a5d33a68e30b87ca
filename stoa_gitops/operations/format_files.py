"""`fmt`: formats the documents in files and folders, in place or to see what it would do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stoa_gitops.catalog.formatting.formatter import Formatted, format_file, is_document
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.files import Replacement, read_bounded

if TYPE_CHECKING:
    from stoa_gitops.model.diagnostics import Diagnostic

SUFFIXES: Final = (".yaml", ".yml")

MAX_BYTES: Final = 5_000_000
"""Largest file that is formatted: a catalog reads no larger one."""

_BATCH: Final = 64
"""Files that are written together: each has a descriptor until all are on the disk."""

_FLUSHES: Final = 8
"""Waits for the disk at the same time."""


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
    """Write files, a batch at a time: their waits for the disk meet, and nothing else does."""
    with ThreadPoolExecutor(_FLUSHES) as pool:
        while batch := list(islice(files, _BATCH)):
            yield from _write_batch(batch, pool)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            try:
                yield from _files_below(path)
            except OSError as error:
                raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        elif path.exists():
            # What a link leads to is written, never the link.
            yield path.resolve() if path.is_symlink() else path
        else:
            raise UsageError(f"{path} does not exist")


def _files_below(folder: Path | str) -> Iterator[Path]:
    """Yield YAML files, sorted, without hidden ones; links are formatted where they lead to."""
    with os.scandir(folder) as scan:
        entries = sorted(
            (entry for entry in scan if entry.name[0] != "."), key=lambda entry: entry.name
        )
    for entry in entries:
        if entry.name.endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(OSError):  # what may not be read has no documents for us
                yield from _files_below(entry.path)


def _format_one(path: Path) -> FormattedFile | None:
    try:
        before = read_bounded(path, MAX_BYTES)
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


def _write_batch(files: list[FormattedFile], pool: Executor) -> list[FormattedFile]:
    """Write the files that have changed; return all, with the problem where that was not possible.

    Threads only wait for the disk: each that does more takes the interpreter from the others.
    """
    results = list(files)
    with contextlib.ExitStack() as opened:
        flushes: list[tuple[int, Replacement, Future[None]]] = []
        for number, file in enumerate(files):
            if not file.has_changed:
                continue
            try:
                replacement = opened.enter_context(Replacement(file.path, file.result.data))
            except OSError as error:
                results[number] = _unwritten(file, error)
                continue
            flushes.append((number, replacement, pool.submit(replacement.flush)))
        wait(flush for _, _, flush in flushes)
        for number, replacement, flush in flushes:
            results[number] = _commit(files[number], replacement, flush)
    return results


def _commit(file: FormattedFile, replacement: Replacement, flush: Future[None]) -> FormattedFile:
    """Give a new file its name, unless it is another one by now."""
    try:
        flush.result()
        # Somebody may have saved it meanwhile: what they wrote is not to be lost.
        if read_bounded(file.path, MAX_BYTES) != file.before:
            return _unformatted(file, "changed meanwhile: run it again")
        replacement.commit()
    except OSError as error:
        return _unwritten(file, error)
    return file


def _unwritten(file: FormattedFile, error: OSError) -> FormattedFile:
    return _unformatted(file, f"cannot be written: {error.strerror or error}")


def _unformatted(file: FormattedFile, problem: str) -> FormattedFile:
    return FormattedFile(file.path, file.before, Formatted(file.before), problem)
