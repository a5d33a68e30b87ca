"""Parts of objects on a gateway that no document can express, found by `adopt --write`."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.model.keys import Key


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A part of a gateway's configuration that is kept aside or lost when its object is adopted.

    what     the vendor's own object, as `plugin prometheus`
    field    the vendor's field, dotted; empty for the object as a whole
    value    what the gateway holds there, secrets blanked; empty where nothing can be shown
    effect   message: what happens to it
    key      the object of the catalog that it belongs to, None where it belongs to none
    changes  adopting that object changes what requests do
    guards   it keeps callers out, of all objects where `key` is None: on a gateway without it they
             get in
    """

    what: str
    field: str
    value: str
    effect: str
    key: Key | None = None
    changes: bool = False
    guards: bool = False

    @property
    def order(self) -> tuple[str, str, str]:
        """Sort key: by object, parts of none last."""
        return (str(self.key) if self.key else "~", self.what, self.field)
