"""What an earlier import of many documents wrote: a file of the catalog, committed with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.catalog.export.three_way.outcomes import CatalogFolder
from stoa_gitops.errors import UsageError

FOLDER: Final = ".imported"
"""Hidden, so that no reader of the catalog takes its files for documents."""

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class FilesRecord:
    """One import of one file, folder or gateway.

    documents  each as the import made it, before anybody edited it, by path in the catalog
    copies     SHA-256 in hex of other files that were copied, by path
    """

    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> frozenset[str]:
        """The files that the import has written."""
        return frozenset((*self.documents, *self.copies))

    def to_text(self) -> str:
        """Return the file."""
        content = {
            "about": "What `stoa-gitops import` wrote here: commit it, and do not edit it.",
            "format": _FORMAT,
            "documents": dict(sorted(self.documents.items())),
            "copies": dict(sorted(self.copies.items())),
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: CatalogFolder, path: str) -> FilesRecord:
        """Return the record of a catalog, an empty one where there is none.

        Raises UsageError for a file that is none: what people changed would be lost without it.
        """
        data = folder.read(path)
        if data is None:
            return cls()
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = None
        parts = (content.get("documents"), content.get("copies")) if _is_tree(content) else ()
        if len(parts) != 2 or content.get("format") != _FORMAT:
            raise _damaged(folder, path)
        documents, copies = parts
        is_whole = (
            _is_tree(documents)
            and all(_is_tree(one) for one in documents.values())
            and _is_tree(copies)
            and all(isinstance(one, str) for one in copies.values())
        )
        if not is_whole:
            raise _damaged(folder, path)
        return cls(documents, copies)


def record_path(form: str, name: str) -> str:
    """Return where the record of a form of import lies: one for each gateway, tenant or folder."""
    return f"{FOLDER}/{form}-{name}.json" if name else f"{FOLDER}/{form}.json"


def _is_tree(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _damaged(folder: CatalogFolder, path: str) -> UsageError:
    return UsageError(
        f"{folder.folder / path} is no record of an import of this version: take it back from Git, "
        "or remove it with the documents that were imported"
    )
