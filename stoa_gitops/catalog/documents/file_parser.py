"""Parses a file document by document, and explains what is wrong with each.

For files that are not one valid document, which are few: the work is bounded, and so is the number
of findings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from stoa_gitops.catalog.documents.document_checks import (
    MAX_FINDINGS,
    explain_document,
    find_wide,
    is_valid,
    name_of,
)
from stoa_gitops.catalog.documents.large_documents import explain_large
from stoa_gitops.catalog.documents.not_yaml import find_template
from stoa_gitops.catalog.documents.parsed_files import Budget, ParsedDocument, ParsedFile
from stoa_gitops.catalog.documents.schema_errors import explain_head
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.catalog.documents.yaml_bounds import MAX_DOCUMENTS, Allowance
from stoa_gitops.catalog.documents.yaml_fast import (
    QuickParse,
    has_fast_parser,
    parse_json_quickly,
    parse_quickly,
)
from stoa_gitops.catalog.documents.yaml_full import decode, read_document, split
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.composer import Refused
from stoa_gitops.foundation.yaml.nodes import Node, text_at
from stoa_gitops.model.canonical import canonical_bytes

# A marker with nothing but a comment behind it: without the dashes, the rest is one document.
_MARKER: Final = re.compile(r"---(?=[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z))")
_LEAD: Final = re.compile(r"(?:---(?=[ \t\r\n]))?+(?:[ \t]*+(?:#[^\n]*+)?\r?\n)*+")
_NOTHING: Final = re.compile(r"(?:[ \t]*+(?:#[^\n]*+)?\r?\n)*+(?:[ \t]*+(?:#[^\n]*+)?)\Z")


@dataclass(slots=True)
class _Reading:
    """One document: its value, or why it cannot be read; `line` is its first, from 1."""

    index: int
    line: int
    text: str
    value: Any = None
    root: Node | None = None
    refused: Refused | None = None


class FileParser:
    """Parses one file."""

    def __init__(self, schemas: Schemas, budget: Budget) -> None:
        self._schemas = schemas
        self._budget = budget
        self._allowance = Allowance(has_fast_parser=has_fast_parser())
        self._documents: list[ParsedDocument] = []
        self._found: list[Finding] = []
        self._has_more = False
        self._has_unknown = False

    def parse(self, data: bytes, quick: QuickParse | None) -> ParsedFile:
        """Return the documents of a file; `quick` is the only one where the fast parser read it."""
        try:
            text = decode(data)
        except Refused as refused:
            return ParsedFile(findings=(as_finding(refused),), has_unknown=True)
        if _NOTHING.match(text):
            return ParsedFile(findings=(_empty(),), has_unknown=True)
        readings = []
        for index, (start, part) in enumerate(split(text)):
            if index == MAX_DOCUMENTS:
                self._refuse(_too_many(start))
                break
            readings.append(self._read(index, start, part, quick))
        is_alone = sum(reading.refused is None for reading in readings) == 1
        for reading in readings:
            # An empty document beside others is what a `---` at the end of a file makes.
            if reading.refused is not None or reading.value is not None or is_alone:
                self._take(reading)
        if self._has_more:
            self._found.append(and_more())
        return ParsedFile(tuple(self._documents), tuple(self._found), False, self._has_unknown)

    def _read(self, index: int, start: int, part: str, quick: QuickParse | None) -> _Reading:
        reading = _Reading(index, start + 1, part)
        body = _MARKER.sub("   ", part, count=1) if part.startswith("---") else part
        if _NOTHING.match(body):
            return reading
        raw = body.encode()
        found = quick or parse_quickly(raw) or parse_json_quickly(raw)
        if found is not None:
            reading.value, reading.line = found.value, start + 1 + _lines_before(part)
            return reading
        if self._allowance.take(raw):
            full = read_document(start, part)
            if full is not None:
                reading.root, reading.refused, reading.line = full.root, full.refused, full.line + 1
                reading.value = full.root.tree() if full.root is not None else None
        else:
            reading.refused = explain_large(raw)
            reading.refused.line += start
        if reading.refused is not None:
            template = find_template(raw)
            if template is not None:
                template.line += start
                reading.refused = template
        return reading

    def _take(self, reading: _Reading) -> None:
        """Add one document, or the findings about it."""
        value, index = reading.value, reading.index
        if reading.refused is not None:
            self._refuse(as_finding(reading.refused, index))
            return
        head = explain_head(value, self._schemas)
        if head is not None:
            self._refuse(replace(head, document=index))
            return
        raw = canonical_bytes(value)
        variables = b"${" in raw
        wide = find_wide(value, raw)
        is_fine = wide is None and is_valid(value, self._schemas, variables=variables)
        if wide is not None:
            self._add([replace(wide, document=index)])
        elif not is_fine:
            self._explain(reading)
        if not is_fine:
            self._has_unknown = self._has_unknown or not name_of(value)
        kind, name = str(value["kind"]), name_of(value)
        self._documents.append(
            ParsedDocument(index, reading.line, kind, name, raw, variables, not is_fine)
        )

    def _refuse(self, finding: Finding) -> None:
        self._has_unknown = True
        self._add([finding])

    def _explain(self, reading: _Reading) -> None:
        """Add what is wrong with a document whose head is fine."""
        if len(self._found) >= MAX_FINDINGS:
            self._has_more = True
            return
        wrong = explain_document(reading.value, self._schemas)
        if any(_is_about_number(finding) for finding in wrong):
            root = self._root(reading)
            if root is not None:
                wrong = [_as_spelled(finding, root) for finding in wrong]
        self._add([replace(finding, document=reading.index) for finding in wrong])

    def _add(self, findings: list[Finding]) -> None:
        room = MAX_FINDINGS - len(self._found)
        self._found.extend(findings[:room])
        self._has_more = self._has_more or len(findings) > room

    def _root(self, reading: _Reading) -> Node | None:
        """Return the tree of a document, which knows how its numbers are spelled."""
        if reading.root is not None:
            return reading.root
        if not (self._budget.take() and self._allowance.take(reading.text.encode())):
            return None
        full = read_document(reading.line - 1, reading.text)
        return full.root if full is not None else None


def as_finding(refused: Refused, document: int = 0) -> Finding:
    """Return the finding about text that a parser refused."""
    return Finding(
        refused.code,
        refused.message,
        hint=refused.hint,
        document=document,
        line=refused.line + 1,
        column=refused.column + 1,
    )


def _lines_before(part: str) -> int:
    """Return how many lines stand before the first value: the marker, comments, empty ones."""
    lead = _LEAD.match(part)
    return part.count("\n", 0, lead.end()) if lead is not None else 0


def _is_about_number(finding: Finding) -> bool:
    return finding.code == "schema.type" and finding.message[:1].lstrip("-").isdigit()


def _as_spelled(finding: Finding, root: Node) -> Finding:
    """Show a number as the file spells it: 1.10 is 1.1 after parsing, and its author wrote 1.10."""
    text = text_at(root, finding.pointer) if _is_about_number(finding) else None
    value, _, rest = finding.message.partition(" ")
    return finding if text is None or value == text else replace(finding, message=f"{text} {rest}")


def _empty() -> Finding:
    # An empty file is more likely a mistake than a wish.
    hint = "write a document, or delete the file"
    return Finding("document.empty", "the file holds no document", hint=hint, line=1)


def _too_many(start: int) -> Finding:
    text = f"the file has more than {MAX_DOCUMENTS} documents; those from here on are not read"
    return Finding("file.size", text, hint="split it", line=start + 1)


def and_more() -> Finding:
    """Return the finding that ends those of a file with too many."""
    text = f"there are more errors in this file than these {MAX_FINDINGS}"
    return Finding("file.errors", text, hint="correct those that are listed first", line=1)
