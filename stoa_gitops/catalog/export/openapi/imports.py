"""Documents that are imported, and what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from stoa_gitops.catalog.export.openapi.import_record import FILE, ImportRecord
from stoa_gitops.catalog.export.three_way.merge import Kept
from stoa_gitops.catalog.export.three_way.outcomes import CatalogFolder, Outcome
from stoa_gitops.model.keys import Key
from stoa_gitops.model.unmapped import Unmapped


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


class Existing(CatalogFolder):
    """What of earlier imports lies in a catalog's folder."""

    def records(self, tenant: str) -> dict[str, ImportRecord | str]:
        """Return the records by name of the API; a text says why one cannot be read."""
        found: dict[str, ImportRecord | str] = {}
        apis = self.folder / "tenants" / tenant / "apis"
        for path in sorted(apis.glob(f"*/{FILE}")):
            name = path.parent.name
            try:
                found[name] = ImportRecord.parse(path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                found[name] = f"{path} cannot be read: {reason}"
        return found
