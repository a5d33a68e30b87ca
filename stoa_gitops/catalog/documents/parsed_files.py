"""What parsing a file yields: its documents as canonical JSON, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.catalog.findings import Finding


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
