"""What a catalog does not say of an OpenAPI document."""

from __future__ import annotations

from stoa_gitops.catalog.findings import foreign_text
from stoa_gitops.model.unmapped import Unmapped


class Remarks:
    """Collects what is left out, with a reason each."""

    def __init__(self) -> None:
        self.found: list[Unmapped] = []

    def add(self, what: str, field: str, value: object, effect: str) -> None:
        """Note a part of the document: its object, its field, what stands there, what happens."""
        self.found.append(Unmapped(what, field, foreign_text(value, field), effect))
