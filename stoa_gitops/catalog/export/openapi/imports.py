"""Documents that are imported, and what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from stoa_gitops.catalog.export.openapi.import_record import FILE, ImportRecord
from stoa_gitops.catalog.export.openapi.three_way import Kept
from stoa_gitops.model.keys import Key
from stoa_gitops.model.unmapped import Unmapped

MAX_BYTES: Final = 64 << 20
"""Most bytes of a file that is read: an OpenAPI document of a vendor has 20 MB."""


class Outcome(Enum):
    """What an import does with one document."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An OpenAPI document to be imported.

    source  how a record names it: a path relative to the catalog, or a URL without user and query
    shown   how people named it
    origin  its URL, empty for a file
    data    its bytes
    reason  why there are none; empty where they could be read
    name    of the API, empty for one made of its title
    address  where it really is: the whole URL, or the path of the file; never shown or written
    """

    source: str
    shown: str
    origin: str
    data: bytes
    reason: str = ""
    name: str = ""
    address: str = field(default="", repr=False)


@dataclass(slots=True)
class Import:
    """What becomes of one document.

    title     of the document; names that had to be changed differ from it
    files     bytes by path in the catalog; the record comes last
    removed   files of an earlier import that another one replaces
    kept      fields that a person changed and the document has otherwise now
    unmapped  what the catalog does not say
    reason    why it is refused, with file, line and column where it is about the document
    """

    fetched: Fetched
    outcome: Outcome = Outcome.REFUSED
    key: Key | None = None
    title: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    kept: tuple[Kept, ...] = ()
    unmapped: list[Unmapped] = field(default_factory=list)
    reason: str = ""

    @property
    def is_renamed(self) -> bool:
        """Whether the name is another one than the title."""
        return self.key is not None and self.title not in ("", self.key.name)


class Existing:
    """What of earlier imports lies in a catalog's folder; its source skips some of these files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file of the catalog, None where there is none that can be read."""
        try:
            with (self._folder / path).open("rb") as file:
                return file.read(MAX_BYTES)
        except OSError:
            return None

    def records(self, tenant: str) -> dict[str, ImportRecord | str]:
        """Return the records by name of the API; a text says why one cannot be read."""
        found: dict[str, ImportRecord | str] = {}
        apis = self._folder / "tenants" / tenant / "apis"
        for path in sorted(apis.glob(f"*/{FILE}")):
            name = path.parent.name
            try:
                found[name] = ImportRecord.parse(path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                found[name] = f"{path} cannot be read: {reason}"
        return found
