"""Between our values and the objects in memory; secrets are never kept."""

from __future__ import annotations

from stoa_gitops.adapter_sdk.contract import ListItem, ObjectSpec, list_item
from stoa_gitops.adapters.memory.server import Held
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.secret import withheld


def to_vendor(spec: ObjectSpec) -> tuple[str, Held]:
    """Return the id and the object to keep."""
    tree = {name: withheld(item) for name, item in spec.value.items()}
    return spec.gateway_id or spec.identifier, Held(spec.key, Spec.of(tree), spec.owner)


def from_vendor(gateway_id: str, held: Held, owner: str) -> ListItem:
    """Return one item of a list."""
    return list_item(held.key, held.spec.value, gateway_id, managed=held.mark == owner)
