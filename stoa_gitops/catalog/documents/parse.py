"""What one file holds, read once per content: two speeds, one truth.

A `ParsedFile` depends on bytes alone, so the reader keeps it under the blob id for as long as it lives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from sys import intern
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_errors import explain, explain_head, policies_of
from stoa_gitops.catalog.documents.schemas import API_VERSION, KINDS, validator
from stoa_gitops.catalog.documents.yaml_fast import parse_quickly
from stoa_gitops.catalog.documents.yaml_full import Reading, read_documents
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Node, text_at
from stoa_gitops.model.canonical import JsonObject, canonical_bytes

_OPENAPI: Final = re.compile(rb"^[\"']?(?:openapi|swagger)[\"']?[ \t]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """One document: what it says, as canonical JSON.

    index        which document of the file, from 0
    line         its first line, from 1
    has_variables  `${` occurs, so its schema can be judged only in an environment
    is_broken    it has findings that are errors
    """

    index: int
    line: int
    kind: str
    name: str
    raw: bytes
    has_variables: bool = False
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """Everything in one file: its documents, and what is wrong with them as they stand.

    has_unknown   something in the file could not be told to be any document
    is_openapi    the file describes an API and is no document of the catalog
    """

    documents: tuple[ParsedDocument, ...] = ()
    findings: tuple[Finding, ...] = ()
    is_openapi: bool = False
    has_unknown: bool = False


class Budget:
    """How many documents may still be read slowly only to explain them well."""

    def __init__(self, documents: int = 1_000) -> None:
        self.left = documents

    def take(self) -> bool:
        """Take one; False when there is none left."""
        self.left -= 1
        return self.left >= 0


def parse_file(data: bytes, budget: Budget | None = None) -> ParsedFile:
    """Read a file of the catalog; never raises.

    A document that the quick way reads and finds wrong is read again slowly, for values and words;
    when the budget is used up, jsonschema explains the values that the quick way read.
    """
    if (b"openapi" in data or b"swagger" in data) and _OPENAPI.search(data):
        return ParsedFile(is_openapi=True)
    quick = parse_quickly(data)
    if quick is not None:
        variables = b"${" in data
        if is_valid(quick.value, variables=variables):
            kind, name = intern(str(quick.value["kind"])), intern(_name(quick.value))
            return ParsedFile(
                (ParsedDocument(0, _first_line(data), kind, name, quick.raw, variables),)
            )
        if budget is not None and not budget.take():
            return _judge([(0, _first_line(data), quick.value)])
    return _read_slowly(data)


def is_valid(value: JsonObject, *, variables: bool) -> bool:
    """Whether a document is one of ours and its schema finds nothing wrong.

    A document with variables is judged in its environment, so only its head counts here.
    """
    kind = value.get("kind")
    if value.get("apiVersion") != API_VERSION or kind not in KINDS:
        return False
    if variables and kind not in ("Catalog", "Environment"):
        return _name(value) != ""
    if not validator(str(kind))(value):
        return False
    return all(validator(name)(config) for _, name, config in policies_of(value, str(kind)))


def explain_document(value: JsonObject) -> list[Finding]:
    """Say everything that is wrong with a document of a known kind."""
    kind = str(value["kind"])
    found = explain(value, kind)
    for pointer, policy_type, config in policies_of(value, kind):
        found.extend(explain(config, policy_type, pointer))
    return found


def _first_line(data: bytes) -> int:
    """Return the line, from 1, on which the first document starts: after comments and empty lines."""
    line, position = 1, 0
    while data[position : position + 1] in (b"#", b"\n", b"\r", b" "):
        end = data.find(b"\n", position)
        text = data[position : end if end >= 0 else None].strip()
        if end < 0 or (text and not text.startswith(b"#")):
            break
        line, position = line + 1, end + 1
    return line


def _name(value: JsonObject) -> str:
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _read_slowly(data: bytes) -> ParsedFile:
    readings = read_documents(data)
    found: list[Finding] = []
    values: list[tuple[int, int, Any]] = []
    roots: dict[int, Node] = {}
    for index, reading in enumerate(readings):
        if reading.root is None:
            found.append(_refusal(reading, index))
        else:
            values.append((index, reading.line + 1, reading.root.tree()))
            roots[index] = reading.root
    if not readings:
        hint = "write a document, or delete the file"
        found.append(Finding("document.empty", "the file holds no document", hint=hint, line=1))
    blob = _judge(values)
    spelled = (_as_spelled(finding, roots[finding.document]) for finding in blob.findings)
    return replace(
        blob,
        findings=(*found, *spelled),
        has_unknown=blob.has_unknown or bool(found),
    )


def _as_spelled(finding: Finding, root: Node) -> Finding:
    """Show a number as it stands in the file: 1.10 is 1.1 for a machine, not for its writer."""
    text = text_at(root, finding.pointer) if finding.code == "schema.type" else None
    words = finding.message.split(" ", 1)
    if text is None or words[0] == text or not words[0][:1].lstrip("-").isdigit():
        return finding
    return replace(finding, message=f"{text} {words[1]}")


def _refusal(reading: Reading, index: int) -> Finding:
    refused = reading.refused
    assert refused is not None
    return Finding(
        refused.code, refused.message, hint=refused.hint, document=index,
        line=refused.line + 1, column=refused.column + 1,
    )  # fmt: skip


def _judge(values: list[tuple[int, int, Any]]) -> ParsedFile:
    documents: list[ParsedDocument] = []
    found: list[Finding] = []
    unknown = False
    for index, line, value in values:
        if value is None and len(values) > 1:
            continue
        head = explain_head(value)
        if head is not None:
            found.append(replace(head, document=index))
            unknown = True
            continue
        raw = canonical_bytes(value)
        variables = b"${" in raw
        wrong = [] if is_valid(value, variables=variables) else explain_document(value)
        found.extend(replace(finding, document=index) for finding in wrong)
        unknown = unknown or (bool(wrong) and not _name(value))
        kind, name = str(value["kind"]), _name(value)
        documents.append(ParsedDocument(index, line, kind, name, raw, variables, bool(wrong)))
    return ParsedFile(tuple(documents), tuple(found), has_unknown=unknown)
