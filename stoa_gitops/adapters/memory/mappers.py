"""Maps canonical specs to stored objects and back; secrets are never stored."""

from __future__ import annotations

from stoa_gitops.adapter_sdk.contract import ListItem, ObjectSpec, list_item
from stoa_gitops.adapters.memory.server import StoredObject
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.secret import withheld


def to_vendor(spec: ObjectSpec) -> tuple[str, StoredObject]:
    """Return the id and the object to store."""
    tree = {name: withheld(item) for name, item in spec.value.items()}
    return spec.gateway_id or spec.identifier, StoredObject(spec.key, Spec.of(tree), spec.owner)


def from_vendor(gateway_id: str, stored: StoredObject, owner: str) -> ListItem:
    """Return one item of a list."""
    mark = stored.mark
    return list_item(
        stored.key, stored.spec.value, gateway_id, managed=mark == owner, owner=mark or ""
    )
