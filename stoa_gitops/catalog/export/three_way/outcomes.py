"""What an import does with one document."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from stoa_gitops.catalog.export.three_way.merge import Kept
from stoa_gitops.model.keys import Key

MAX_BYTES: Final = 64 << 20
"""Most bytes of a file that is read: an OpenAPI document of a vendor has 20 MB."""


class Outcome(Enum):
    """What an import does with one document."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(slots=True)
class FileImport:
    """What becomes of one file of the catalog.

    key     the API or application that it describes; None for any other document
    data    the bytes to write; None where it is left as it is
    kept    fields that a person changed and the import has otherwise now
    reason  why it is refused
    """

    path: str
    key: Key | None = None
    outcome: Outcome = Outcome.UNCHANGED
    data: bytes | None = None
    kept: list[Kept] = field(default_factory=list)
    reason: str = ""


class CatalogFolder:
    """The files of a catalog's folder as they are now; its source skips some of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file of the catalog, None where there is none that can be read."""
        try:
            with (self.folder / path).open("rb") as file:
                return file.read(MAX_BYTES)
        except OSError:
            return None
