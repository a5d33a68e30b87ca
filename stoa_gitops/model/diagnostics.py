"""Diagnostics of validation: returned, never raised, so that all of them are shown at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stoa_gitops.model.resources import SourceRef


class Severity(Enum):
    """An error makes the catalog invalid; a warning does not, unless asked for."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem at a position.

    code     stable identifier, as `schema.type`
    pointer  JSON pointer (RFC 6901) into the document
    hint     the next step for the reader
    excerpt  the source line; `width` of the caret below it is in characters
    """

    severity: Severity
    code: str
    message: str
    source: SourceRef
    pointer: str = ""
    hint: str = ""
    excerpt: str = ""
    width: int = 1

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """Sort key: position first."""
        return (
            self.source.path,
            self.source.line,
            self.source.column,
            self.code,
            self.message,
        )
