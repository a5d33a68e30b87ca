"""Puts the documents that references lead to into one document, where a person asks for that."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urldefrag

from stoa_gitops.catalog.evaluation.openapi import parse_openapi
from stoa_gitops.catalog.export.openapi.remarks import Remarks
from stoa_gitops.catalog.findings import Finding

SECTION: Final = "x-documents"
"""Where the documents go: an extension, which every version of OpenAPI takes at its top."""

MAX_DOCUMENTS: Final = 200
MAX_BYTES: Final = 20_000_000
"""Most bytes of all of them together: what a file of the catalog may have."""

Load = Callable[[str, str], tuple[str, bytes]]
"""Returns (address, bytes) of a document that a reference names, for the address of the document
that has the reference and the reference without its fragment. Raises OSError, which says why not.
"""


@dataclass(slots=True)
class Bundle:
    """The documents of one root, each under its address."""

    load: Load
    remarks: Remarks
    root: str
    names: dict[str, str] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    size: int = 0

    def run(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document with what its references lead to; the very same without any."""
        changed = dict(document)
        todo: deque[tuple[str, dict[str, Any]]] = deque([(self.root, changed)])
        while todo:
            address, tree = todo.popleft()
            for holder, reference in list(_references(tree)):
                found = self._resolve(address, reference, todo)
                if found is not None:
                    holder["$ref"] = found
        if self.documents:
            changed[SECTION] = self.documents
        return changed

    def _resolve(
        self, address: str, reference: str, todo: deque[tuple[str, dict[str, Any]]]
    ) -> str | None:
        """Return what a reference is called in the bundle; None where it stays as it is."""
        location, fragment = urldefrag(reference)
        if not location:
            if address == self.root:
                return None
            return _pointer(self.names[address], fragment)
        key = (address, location)
        if key in self.refused:
            return None
        try:
            found = self._document(address, location, todo)
        except OSError as error:
            self.refused[key] = str(error)
            self.remarks.add("$ref", "", location, f"not fetched: {error}")
            return None
        if found == self.root:
            return f"#{fragment}"
        return _pointer(self.names[found], fragment)

    def _document(
        self, address: str, location: str, todo: deque[tuple[str, dict[str, Any]]]
    ) -> str:
        """Return the address of a document, which is in the bundle from now on."""
        if len(self.documents) >= MAX_DOCUMENTS:
            raise OSError(f"more than {MAX_DOCUMENTS} documents belong to this one")
        found, data = self.load(address, unquote(location))
        if found == self.root or found in self.names:
            return found
        self.size += len(data)
        if self.size > MAX_BYTES:
            raise OSError(f"all documents together have more than {MAX_BYTES} bytes")
        tree = parse_openapi(data)
        if isinstance(tree, Finding):
            raise OSError(f"{found}:{tree.line or 1}: {tree.message}")
        name = self._name(found)
        self.names[found] = name
        self.documents[name] = tree
        todo.append((found, tree))
        return found

    def _name(self, address: str) -> str:
        stem = re.sub(r"\.(ya?ml|json)$", "", address.rstrip("/").rpartition("/")[2])
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "document"
        name, number = base, 2
        while name in self.documents:
            name, number = f"{base}-{number}", number + 1
        return name


def _pointer(name: str, fragment: str) -> str:
    """Return a pointer into an embedded document; an anchor in it keeps its name."""
    if fragment and not fragment.startswith("/"):
        return f"#{fragment}"
    return f"#/{SECTION}/{name}{fragment}"


def _references(tree: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the mappings that refer to something, each once."""
    todo: list[Any] = [tree]
    seen: set[int] = set()  # YAML aliases can make a document contain itself
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                yield value, reference
            todo.extend(item for item in value.values() if isinstance(item, (dict, list)))
        elif isinstance(value, list):
            todo.extend(item for item in value if isinstance(item, (dict, list)))
