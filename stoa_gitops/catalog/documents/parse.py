"""Parses one file of a catalog: fast parser first, full parser on any doubt or error.

A `ParsedFile` depends on the bytes and the schemas alone, so the reader keeps it under the blob id
for as long as it lives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from sys import intern
from typing import Any, Final

from stoa_gitops.catalog.documents.boundary import internal_finding
from stoa_gitops.catalog.documents.schema_errors import explain, explain_head, policies_of
from stoa_gitops.catalog.documents.schemas import API_VERSION, Schemas
from stoa_gitops.catalog.documents.yaml_fast import parse_quickly
from stoa_gitops.catalog.documents.yaml_full import Reading, read_documents
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Node, text_at
from stoa_gitops.model.canonical import JsonObject, canonical_bytes

_OPENAPI: Final = re.compile(rb"^[\"']?(?:openapi|swagger)[\"']?[ \t]*:", re.MULTILINE)
"""The key at the top of an OpenAPI document; version 2.0 calls it `swagger`."""

_OPENAPI_IN_JSON: Final = re.compile(rb"[{,]\s*\"(?:openapi|swagger)\"\s*:\s*\"[23]\.[0-9]")
"""The same in JSON on one line, where the value tells it from the field `openapi` of an API."""

MAX_DOCUMENT_BYTES: Final = 5_000_000
"""Largest file that is no OpenAPI document; a document has a few kB."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """One document of a file, as canonical JSON.

    index          number of the document in its file, from 0
    line           its first line, from 1
    has_variables  `${` occurs, so its schema can be checked only in an environment
    is_broken      it has findings that are errors
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
    """The documents of one file, and what is wrong with them before any environment.

    has_unknown   part of the file could not be assigned to any document
    is_openapi    the file is an OpenAPI document and no document of the catalog
    """

    documents: tuple[ParsedDocument, ...] = ()
    findings: tuple[Finding, ...] = ()
    is_openapi: bool = False
    has_unknown: bool = False


class Budget:
    """How many invalid documents may still be parsed by the full parser only to explain them well.

    The full parser takes milliseconds per document, so 1,000 of them are a few seconds; the
    findings of further ones are made from the values that the fast parser read.
    """

    def __init__(self, documents: int = 1_000) -> None:
        self.left = documents

    def take(self) -> bool:
        """Take one document off the budget; return False when none is left."""
        self.left -= 1
        return self.left >= 0


def parse_file(data: bytes, schemas: Schemas, budget: Budget | None = None) -> ParsedFile:
    """Parse and validate a file of the catalog; an exception becomes a finding about the file.

    A document that the fast parser reads and the schema refuses is parsed again by the full parser,
    whose messages are better; without budget jsonschema explains the values that are there.
    """
    try:
        return _parse(data, schemas, budget)
    except BaseException as error:  # noqa: BLE001 - one document must not end everybody's reading
        return ParsedFile(findings=(internal_finding(error, line=1),), has_unknown=True)


def _parse(data: bytes, schemas: Schemas, budget: Budget | None) -> ParsedFile:
    if is_openapi(data):
        return ParsedFile(is_openapi=True)
    if len(data) > MAX_DOCUMENT_BYTES:
        return ParsedFile(findings=(_too_large(len(data)),), has_unknown=True)
    quick = parse_quickly(data)
    if quick is not None:
        variables = b"${" in data
        if is_valid(quick.value, schemas, variables=variables):
            # Interned: 10,000 documents share a handful of kinds, and names recur in references.
            kind, name = intern(str(quick.value["kind"])), intern(_name(quick.value))
            return ParsedFile(
                (ParsedDocument(0, _first_line(data), kind, name, quick.raw, variables),)
            )
        if budget is not None and not budget.take():
            return _check_values([(0, _first_line(data), quick.value)], schemas)
    return _parse_fully(data, schemas)


def is_valid(value: JsonObject, schemas: Schemas, *, variables: bool) -> bool:
    """Whether apiVersion and kind are known and the schema finds nothing wrong.

    A document with variables is validated in its environment, so here only its head counts.
    """
    kind = value.get("kind")
    if value.get("apiVersion") != API_VERSION or not isinstance(kind, str):
        return False
    known = schemas.kinds.get(kind)
    if known is None:
        return False
    if variables and known.takes_variables:
        return _name(value) != ""
    if not schemas.validator(kind)(value):
        return False
    return all(
        schemas.validator(name)(config) for _, name, config in policies_of(value, kind, schemas)
    )


def explain_document(value: JsonObject, schemas: Schemas) -> list[Finding]:
    """Return everything that is wrong with a document of a known kind."""
    kind = str(value["kind"])
    found = explain(value, kind, schemas)
    for pointer, policy_type, config in policies_of(value, kind, schemas):
        found.extend(explain(config, policy_type, schemas, pointer))
    return found


def is_openapi(data: bytes) -> bool:
    """Whether a file is an OpenAPI document, by its key at the top."""
    return (b"openapi" in data or b"swagger" in data) and (
        _OPENAPI.search(data) is not None or _OPENAPI_IN_JSON.search(data) is not None
    )


def _too_large(size: int) -> Finding:
    return Finding(
        "file.size",
        f"the file has {size} bytes; a document has {MAX_DOCUMENT_BYTES} at most",
        hint="split it, or move it out of the catalog",
        line=1,
    )


def _first_line(data: bytes) -> int:
    """Return the line, from 1, of the first document: after comments and empty lines."""
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


def _parse_fully(data: bytes, schemas: Schemas) -> ParsedFile:
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
        # An empty file is more likely a mistake than a wish.
        hint = "write a document, or delete the file"
        found.append(Finding("document.empty", "the file holds no document", hint=hint, line=1))
    checked = _check_values(values, schemas)
    spelled = (_as_spelled(finding, roots[finding.document]) for finding in checked.findings)
    return replace(
        checked,
        findings=(*found, *spelled),
        has_unknown=checked.has_unknown or bool(found),
    )


def _as_spelled(finding: Finding, root: Node) -> Finding:
    """Show a number as the file spells it: 1.10 is 1.1 after parsing, and its author wrote 1.10."""
    text = text_at(root, finding.pointer) if finding.code == "schema.type" else None
    value, _, rest = finding.message.partition(" ")
    if text is None or value == text or not value[:1].lstrip("-").isdigit():
        return finding
    return replace(finding, message=f"{text} {rest}")


def _refusal(reading: Reading, index: int) -> Finding:
    refused = reading.refused
    assert refused is not None
    return Finding(
        refused.code,
        refused.message,
        hint=refused.hint,
        document=index,
        line=refused.line + 1,
        column=refused.column + 1,
    )


def _check_values(values: list[tuple[int, int, Any]], schemas: Schemas) -> ParsedFile:
    """Validate (index, first line, value) of each document of a file."""
    documents: list[ParsedDocument] = []
    found: list[Finding] = []
    unknown = False
    for index, line, value in values:
        if value is None and len(values) > 1:
            continue  # an empty document beside others, as a `---` at the end of a file makes it
        head = explain_head(value, schemas)
        if head is not None:
            found.append(replace(head, document=index))
            unknown = True
            continue
        raw = canonical_bytes(value)
        variables = b"${" in raw
        is_fine = is_valid(value, schemas, variables=variables)
        wrong = [] if is_fine else explain_document(value, schemas)
        found.extend(replace(finding, document=index) for finding in wrong)
        unknown = unknown or (bool(wrong) and not _name(value))
        kind, name = str(value["kind"]), _name(value)
        documents.append(ParsedDocument(index, line, kind, name, raw, variables, bool(wrong)))
    return ParsedFile(tuple(documents), tuple(found), has_unknown=unknown)
