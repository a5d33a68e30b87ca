"""What of a catalog is broken: nothing of it is deleted, and the last applied stands for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import SourceRef


@dataclass(frozen=True, slots=True)
class BrokenScope:
    """Tenants with broken documents: nothing of theirs is deleted, the last applied is kept.

    mistakes  sorted positions of errors, by tenant, empty for those outside of tenants' folders
    """

    tenants: frozenset[str] = frozenset()
    everything: bool = False
    mistakes: Mapping[str, tuple[SourceRef, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, catalog: Catalog) -> BrokenScope:
        """Return what is broken in a catalog."""
        if not (catalog.broken_tenants or catalog.is_all_broken):
            return cls()
        found: dict[str, list[SourceRef]] = {}
        for error in catalog.errors:
            found.setdefault(_tenant_of(error.source.path), []).append(error.source)
        mistakes = {tenant: tuple(sorted(places)) for tenant, places in found.items()}
        return cls(catalog.broken_tenants, catalog.is_all_broken, mistakes)

    def __bool__(self) -> bool:
        return self.everything or bool(self.tenants)

    def covers(self, key: Key) -> bool:
        """Whether a broken document could have defined this key."""
        return self.everything or key.tenant in self.tenants

    def because(self, key: Key) -> str:
        """Return the mistake that most likely hides a key: `because of a.yaml:3 and 2 others`."""
        places = self.mistakes.get(key.tenant) or self.mistakes.get("") or ()
        if not places:
            return "because documents of the catalog are broken"
        folder = _folder(key)
        at = bisect_left(places, folder, key=lambda place: place.path)
        is_own = at < len(places) and places[at].path.startswith(folder)
        first = places[at] if is_own else places[0]
        others = len(places) - 1
        more = f" and {others:,} other error{'s' if others > 1 else ''}" if others else ""
        return f"because of the error in {first}{more}"


def _folder(key: Key) -> str:
    """Return the beginning of the path of the document that defines a key."""
    owner = key.parent or key
    if owner.kind == API:
        return f"tenants/{key.tenant}/apis/{owner.name}/"
    kind = "applications" if key.kind == APPLICATION else f"{key.kind}s"
    return f"tenants/{key.tenant}/{kind}/{key.name}."


def _tenant_of(path: str) -> str:
    parts = path.split("/", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "tenants" else ""
