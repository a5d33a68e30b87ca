"""Findings grouped by subject, so that those of one document are replaced together."""

from __future__ import annotations

from collections.abc import Hashable

from stoa_gitops.catalog.evaluation.definitions import EvaluatedDocument
from stoa_gitops.catalog.findings import Finding, OtherPlace
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.diagnostics import Severity


def located(
    document: Document,
    code: str,
    message: str,
    pointer: Pointer,
    hint: str = "",
    *,
    evaluated: EvaluatedDocument | None = None,
    severity: Severity = Severity.ERROR,
    other: OtherPlace | None = None,
) -> LocatedFinding:
    """Return a finding about a document; `evaluated` has the origins of patched values."""
    number = document.parsed.index
    finding = Finding(code, message, pointer, hint, severity, document=number, other=other)
    return LocatedFinding(
        document.path, finding, evaluated.origins if evaluated is not None else ()
    )


class FindingLog:
    """Collects findings about one subject at a time.

    found   findings by subject; subjects without findings have no entry
    """

    def __init__(self) -> None:
        self.found: dict[Hashable, tuple[LocatedFinding, ...]] = {}
        self._now: list[LocatedFinding] = []

    def begin(self) -> None:
        """Start with a new subject."""
        self._now = []

    def end(self, subject: Hashable) -> None:
        """Replace the findings of a subject by those added since `begin`."""
        # Subjects without findings take no memory: nearly all of 10,000.
        if self._now:
            self.found[subject] = tuple(self._now)
        else:
            self.found.pop(subject, None)

    def add(self, item: LocatedFinding) -> None:
        """Add a finding about the current subject."""
        self._now.append(item)

    def note(self, document: Document, evaluated: EvaluatedDocument) -> None:
        """Add the findings that a document has by itself."""
        for finding in evaluated.findings:
            self._now.append(LocatedFinding(document.path, finding, evaluated.origins))
