"""One change to write, and the group of changes that are one write on webMethods."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.model.keys import Key


@dataclass(frozen=True, slots=True, eq=False)
class PendingChange:
    """One change; `spec` is None for a deletion.

    gateway_id  what `list_*` called the object; empty where it did not exist, None if nobody looked
    adopts      take over the foreign object of that id
    """

    key: Key
    spec: ObjectSpec | None
    gateway_id: str | None = ""
    adopts: bool = False

    @property
    def group(self) -> Key:
        """The key of what is written: the API of a policy, or the object itself."""
        return self.key.parent or self.key

    @property
    def root(self) -> str:
        """The id of the API or application on the gateway; empty where it is not known."""
        return (self.gateway_id or "").partition("/")[0]
