"""Compares documents of an import with an earlier one and with what is there now. Pure but reading.

What nobody edited follows the import; what a person changed, added or removed stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoa_gitops.catalog.export.overlay import TreeWithFiles, formatted_bytes
from stoa_gitops.catalog.export.three_way.documents import merge_document
from stoa_gitops.catalog.export.three_way.edited_yaml import EditedYaml, NotEditable
from stoa_gitops.catalog.export.three_way.merge import ABSENT, Kept
from stoa_gitops.catalog.export.three_way.outcomes import CatalogFolder, FileImport, Outcome
from stoa_gitops.catalog.export.three_way.record import FilesRecord
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.keys import Key


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document as an import has it now; `comment` goes above it where the file is new."""

    path: str
    document: Mapping[str, Any]
    key: Key | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Reimport:
    """What becomes of all files, the record for the next import, and files that it has no more."""

    files: tuple[FileImport, ...]
    record: FilesRecord
    gone: tuple[str, ...]


def reimport(
    documents: Iterable[NewDocument],
    copies: Mapping[str, bytes],
    record: FilesRecord,
    folder: CatalogFolder,
    reader: Reader,
    tree: Tree,
) -> Reimport:
    """Return what to write; nothing is written. `tree` is the catalog as it is now."""
    news = list(documents)
    files = [_compare(new, record.documents.get(new.path), folder) for new in news]
    _refuse_wrong(files, reader, tree)
    files += [_compare_copy(path, data, record, folder) for path, data in copies.items()]
    alive = {one.path for one in files if one.outcome is not Outcome.REFUSED}
    named = {new.path for new in news} | set(copies)
    gone = [
        path
        for path in sorted(record.paths - named)
        if folder.read(path) is not None and not path.endswith("tenant.yaml")
    ]
    kept_documents = {new.path: new.document for new in news if new.path in alive}
    hashes = {
        path: hashlib.sha256(data).hexdigest() for path, data in copies.items() if path in alive
    }
    return Reimport(
        tuple(files),
        FilesRecord({**record.documents, **kept_documents}, {**record.copies, **hashes}),
        tuple(gone),
    )


def _compare(new: NewDocument, base: Mapping[str, Any] | None, folder: CatalogFolder) -> FileImport:
    result = FileImport(new.path, new.key)
    now = folder.read(new.path)
    generated = formatted_bytes(new.document)
    if now is None:
        if base is None:
            result.outcome, result.data = Outcome.CREATED, new.comment.encode() + generated
        elif base != new.document:
            result.kept = [Kept(("document",), ABSENT, "another one")]
        return result
    if base is None:
        if _is_same(now, new.document):
            return result
        result.outcome = Outcome.REFUSED
        result.reason = f"{folder.folder / new.path} exists and was not imported"
        return result
    try:
        data, result.kept = merge_document(now, base, new.document)
    except NotEditable as error:
        result.outcome = Outcome.REFUSED
        result.reason = f"{folder.folder / new.path} cannot be changed: {error}"
        return result
    if data != now:
        result.outcome, result.data = Outcome.UPDATED, data
    return result


def _is_same(now: bytes, document: Mapping[str, Any]) -> bool:
    """Whether a file says the same already, in whatever form."""
    try:
        return bool(EditedYaml(now.decode()).tree == document)
    except (NotEditable, UnicodeDecodeError):
        return False


def _compare_copy(path: str, data: bytes, record: FilesRecord, folder: CatalogFolder) -> FileImport:
    result, now, before = FileImport(path), folder.read(path), record.copies.get(path)
    if now == data:
        return result
    if now is None:
        if before is None:
            result.outcome, result.data = Outcome.CREATED, data
        return result
    if before is None:
        result.outcome = Outcome.REFUSED
        result.reason = f"{folder.folder / path} exists and was not imported"
    elif hashlib.sha256(now).hexdigest() == before:
        result.outcome, result.data = Outcome.UPDATED, data
    elif hashlib.sha256(data).hexdigest() != before:
        result.kept = [Kept((path.rpartition("/")[2],), "your changes", "another document")]
    return result


def _refuse_wrong(files: Sequence[FileImport], reader: Reader, tree: Tree) -> None:
    """Refuse what is wrong only because of what a person wrote into it."""
    merged = {one.path: one for one in files if one.outcome is Outcome.UPDATED}
    if not merged:
        return
    written = {one.path: one.data for one in files if one.data is not None}
    wrong_before = {error.source.path for error in reader.read(tree).errors}
    for error in reader.read(TreeWithFiles(tree, written)).errors:
        one = merged.get(error.source.path)
        if one is None or error.source.path in wrong_before or one.reason:
            continue
        place = f"{one.path}:{error.source.line}:{error.source.column}"
        one.outcome, one.data = Outcome.REFUSED, None
        one.reason = f"{place}: would be wrong afterwards: {error.message}"
