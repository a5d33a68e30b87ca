"""A document on its way into the catalog, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stoa_gitops.catalog.export.openapi.api_facts import ApiFacts
from stoa_gitops.catalog.export.openapi.import_record import ImportRecord
from stoa_gitops.catalog.export.openapi.imports import Fetched, Import
from stoa_gitops.catalog.findings import Finding, foreign_text
from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.unmapped import Unmapped


@dataclass(slots=True)
class Draft:
    """A document on its way into the catalog.

    document  the API document; what the catalog refuses is taken out of it
    copy      name of the OpenAPI document beside it, empty where it is left out
    record    what an earlier import wrote
    """

    result: Import
    facts: ApiFacts
    folder: str
    document: dict[str, Any]
    copy: str
    record: ImportRecord | None

    @property
    def path(self) -> str:
        """Where the API document goes in the catalog."""
        return f"{self.folder}/api.yaml"

    @property
    def copy_path(self) -> str:
        """Where the OpenAPI document goes."""
        return f"{self.folder}/{self.copy}"


def place_of(error: Diagnostic) -> tuple[str, str, str]:
    """Return what tells an error from others, but for its line, which others may move."""
    return error.source.path, error.code, error.pointer


def note_refusal(result: Import, what: str, error: Diagnostic, value: object = "") -> None:
    """Note that the catalog refuses a part, and what happens instead."""
    hint = f"; {error.hint}" if error.hint else ""
    instead = "the built-in echo answers" if what == "backend" else "left out"
    effect = f"{instead}, for the catalog refuses it: {error.message}{hint}"
    result.unmapped.append(Unmapped(what, "", foreign_text(value or "", what), effect))


def text_of(finding: Finding, fetched: Fetched) -> str:
    """Return a finding with its place; without one where it is about the whole document."""
    hint = f"; {finding.hint}" if finding.hint else ""
    line = finding.line
    if line is None:
        at = fetched.data.find(str(finding.pointer[-1]).encode()) if finding.pointer else 0
        line = fetched.data.count(b"\n", 0, max(at, 0)) + 1
    return f"{fetched.shown}:{line}:{finding.column}: {finding.message}{hint}"
