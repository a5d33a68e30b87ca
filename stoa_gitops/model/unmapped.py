"""What a gateway holds and no document can say, found when what exists already is written down."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.model.keys import Key


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Something on a gateway that stays behind, or is lost, when what it belongs to is adopted.

    what     the vendor's own object, as `plugin prometheus`
    field    the vendor's field, dotted; empty for the object as a whole
    value    what the gateway holds there, secrets blanked; empty where nothing can be shown
    effect   in words, what happens to it
    key      the object of the catalog that it belongs to, None where it belongs to none
    changes  adopting that object changes what requests do
    """

    what: str
    field: str
    value: str
    effect: str
    key: Key | None = None
    changes: bool = False

    @property
    def order(self) -> tuple[str, str, str]:
        """Sort by object, those of none last."""
        return (str(self.key) if self.key else "~", self.what, self.field)
