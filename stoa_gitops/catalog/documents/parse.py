"""Parses one file of a catalog: fast parser first, full parser on any doubt or error.

A `ParsedFile` depends on the bytes and the schemas alone, so the reader keeps it under the blob id
for as long as it lives.
"""

from __future__ import annotations

import re
from sys import intern
from typing import Final

from stoa_gitops.catalog.documents.boundary import internal_finding
from stoa_gitops.catalog.documents.document_checks import find_wide, is_valid, name_of
from stoa_gitops.catalog.documents.file_parser import FileParser, as_finding
from stoa_gitops.catalog.documents.not_yaml import find_foreign
from stoa_gitops.catalog.documents.parsed_files import Budget, ParsedDocument, ParsedFile
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.catalog.documents.yaml_fast import parse_quickly
from stoa_gitops.catalog.findings import Finding

_OPENAPI: Final = re.compile(rb"^[\"']?(?:openapi|swagger)[\"']?[ \t]*:", re.MULTILINE)
"""The key at the top of an OpenAPI document; version 2.0 calls it `swagger`."""

_OPENAPI_IN_JSON: Final = re.compile(rb"[{,]\s*\"(?:openapi|swagger)\"\s*:\s*\"[23]\.[0-9]")
"""The same in JSON on one line, where the value tells it from the field `openapi` of an API."""

MAX_FILE_BYTES: Final = 5_000_000
"""Largest file that is no OpenAPI document."""


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
    foreign = find_foreign(data)
    if foreign is not None:
        return ParsedFile(findings=(as_finding(foreign),), has_unknown=True)
    if len(data) > MAX_FILE_BYTES:
        return ParsedFile(findings=(_too_large(len(data)),), has_unknown=True)
    quick = parse_quickly(data)
    if quick is not None:
        variables = b"${" in data
        wide = find_wide(quick.value, quick.raw)
        if wide is None and is_valid(quick.value, schemas, variables=variables):
            # Interned: 10,000 documents share a handful of kinds, and names recur in references.
            kind, name = intern(str(quick.value["kind"])), intern(name_of(quick.value))
            return ParsedFile(
                (ParsedDocument(0, _first_line(data), kind, name, quick.raw, variables),)
            )
    return FileParser(schemas, budget or Budget()).parse(data, quick)


def is_openapi(data: bytes) -> bool:
    """Whether a file is an OpenAPI document, by its key at the top."""
    return (b"openapi" in data or b"swagger" in data) and (
        _OPENAPI.search(data) is not None or _OPENAPI_IN_JSON.search(data) is not None
    )


def _too_large(size: int) -> Finding:
    return Finding(
        "file.size",
        f"the file has {size} bytes; a file of documents has {MAX_FILE_BYTES} at most",
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
