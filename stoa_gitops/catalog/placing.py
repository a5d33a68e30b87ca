"""Findings get their places: late, and only as many as are shown in full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stoa_gitops.catalog.environments import Origin, origin_of
from stoa_gitops.catalog.findings import SENSITIVE, Finding, mask
from stoa_gitops.catalog.nodes import Node, Place, Pointer, find_place
from stoa_gitops.catalog.slow_reader import Reading, decode, read_documents
from stoa_gitops.catalog.sources import Tree
from stoa_gitops.catalog.yaml_builder import Refused
from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.resources import SourceRef

IN_FULL: Final = 1_000
"""Findings that get line, column and excerpt; the others get their file."""

_EXCERPT: Final = 160


@dataclass(frozen=True, slots=True)
class Located:
    """A finding, the file of the document it is about, and what patches set in that document."""

    path: str
    finding: Finding
    origins: tuple[Origin, ...] = ()


class _File:
    """One file whose places are looked up."""

    def __init__(self, data: bytes) -> None:
        self._readings: list[Reading] | None = None
        self._data = data
        try:
            self._lines = decode(data).splitlines()
        except Refused:
            self._lines = data.decode("utf-8", "replace").splitlines()

    def root(self, document: int) -> Node | None:
        """Return the tree of one document, None where it cannot be read."""
        if self._readings is None:
            self._readings = read_documents(self._data, any_key=True)
        if document < len(self._readings):
            return self._readings[document].root
        return None

    def excerpt(self, line: int) -> str:
        """Return a source line in which no secret shows."""
        if not 0 < line <= len(self._lines):
            return ""
        text = mask(self._lines[line - 1], self._key_above(line - 1))
        return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)[:_EXCERPT]

    def _key_above(self, index: int) -> str:
        """Return the nearest key that a line hangs below, for lines of block scalars and lists."""
        indent = _indent(self._lines[index])
        for line in reversed(self._lines[max(0, index - 200) : index]):
            if line.strip() and _indent(line) < indent:
                name = line.strip().lstrip("- ").partition(":")[0].strip("\"'")
                return name if SENSITIVE.search(name) else ""
        return ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


class Placer:
    """Turns findings into diagnostics for one tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files: dict[str, _File | None] = {}

    def place(self, found: Iterable[Located]) -> tuple[Diagnostic, ...]:
        """Return the diagnostics of findings, each once, sorted by file and line."""
        unique = dict.fromkeys(self._moved(item) for item in found)
        ordered = sorted(unique, key=lambda pair: (pair[0], pair[1].line or 0, pair[1].document))
        placed = [
            self._diagnostic(path, finding, in_full=number < IN_FULL)
            for number, (path, finding) in enumerate(ordered)
        ]
        return tuple(sorted(set(placed), key=lambda diagnostic: diagnostic.order))

    def _moved(self, item: Located) -> tuple[str, Finding]:
        """Point a finding about a patched value at the patch."""
        finding = item.finding
        origin = origin_of(finding, item.origins) if item.origins else None
        if origin is None:
            return item.path, finding
        rest = finding.pointer[len(origin.pointer) :]
        moved = Finding(
            finding.code,
            f"{finding.message} (patched, in {item.path})",
            (*origin.source, *rest),
            finding.hint,
            finding.severity,
            finding.at_key,
            origin.document,
        )
        return origin.path, moved

    def _diagnostic(self, path: str, finding: Finding, *, in_full: bool) -> Diagnostic:
        place, excerpt = Place(finding.line or 1, finding.column), ""
        file = self._file(path) if in_full else None
        if file is not None:
            if finding.line is None:
                place = self._place(file, finding)
            excerpt = file.excerpt(place.line)
        return Diagnostic(
            finding.severity,
            finding.code,
            finding.message,
            SourceRef(path, place.line, place.column, self._tree.commit),
            to_json_pointer(finding.pointer),
            finding.hint,
            excerpt,
            max(1, min(place.width, len(excerpt) - place.column + 1)),
        )

    def _place(self, file: _File, finding: Finding) -> Place:
        root = file.root(finding.document)
        if root is None:
            return Place(1, 1)
        return find_place(root, finding.pointer, at_key=finding.at_key)

    def _file(self, path: str) -> _File | None:
        if path not in self._files:
            known = path in self._tree.files
            self._files[path] = _File(self._tree.read(path)) if known else None
        return self._files[path]


def to_json_pointer(pointer: Pointer) -> str:
    """Write a pointer as RFC 6901 has it."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)
