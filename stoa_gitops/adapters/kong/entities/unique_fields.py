"""Values that only one entity of a node may have: ids, names, keys, a plugin per scope. Pure.

Kong checks them, but with flattened errors it does not say which entity is at fault, and it takes
two plugins of one name and scope, of which one runs (Kong 3.4.2 and 3.9.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import Entity

_UNIQUE: Final[Mapping[str, tuple[str, ...]]] = {
    "services": ("name",), "routes": ("name",), "upstreams": ("name",),
    "plugins": ("instance_name",),
    "consumers": ("username", "custom_id"), "keyauth_credentials": ("key",),
    "jwt_secrets": ("key",),
    "basicauth_credentials": ("username",), "hmacauth_credentials": ("username",),
    "oauth2_credentials": ("client_id",),
    "snis": ("name",), "vaults": ("prefix",), "key_sets": ("name",), "keys": ("name",),
    "ca_certificates": ("cert_digest",),
}  # fmt: skip

UniqueValue = tuple[str, str, str]
"""Entity type, field, value."""

_CREDENTIALS: Final = frozenset({"keyauth_credentials", "jwt_secrets"})


def unique_values(entity: Entity) -> Iterator[UniqueValue]:
    """Yield the values of an entity that must be unique."""
    # Kong stores an upper-case UUID as sent; two spellings are one id.
    yield entity.type, "id", entity.id.lower()
    tree = entity.tree
    for name in _UNIQUE.get(entity.type, ()):
        if tree.get(name) is not None:
            yield entity.type, name, str(tree[name])
    if entity.type == "plugins":
        places = "|".join(_id(tree.get(name)) for name in ("service", "route", "consumer"))
        yield "plugins", "name", f"{tree.get('name')}|{places}"
    if entity.type == "acls":
        yield "acls", "group", f"{_id(tree.get('consumer'))}|{tree.get('group')}"


def credential_keys(entities: Iterable[Entity]) -> tuple[UniqueValue, ...]:
    """Return the keys of credentials, each as often as it occurs."""
    return tuple(
        value
        for entity in entities
        if entity.type in _CREDENTIALS
        for value in unique_values(entity)
        if value[1] == "key"
    )


def _id(parent: object) -> str:
    return str(parent.get("id", "")) if isinstance(parent, dict) else ""
