"""What Kong says of a document that it refuses, brought back to entities. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import Entity

Culprits = Mapping[tuple[str, str], str]
"""(entity type, id) -> the vendor's words."""

_TYPES: Final[Mapping[str, str]] = {
    "certificate": "certificates", "ca_certificate": "ca_certificates", "vault": "vaults", "key_set": "key_sets",
    "key": "keys", "sni": "snis", "service": "services", "upstream": "upstreams", "target": "targets",
    "route": "routes", "consumer": "consumers", "keyauth_credential": "keyauth_credentials",
    "basicauth_credential": "basicauth_credentials", "jwt_secret": "jwt_secrets",
    "hmacauth_credential": "hmacauth_credentials", "oauth2_credential": "oauth2_credentials", "acl": "acls",
    "plugin": "plugins", "filter_chain": "filter_chains",
}  # fmt: skip


def offending_entities(
    body: Mapping[str, Any], entities: Mapping[str, Sequence[Entity]]
) -> Culprits:
    """Return which entities a 400 speaks of; `entities` are those of the document, in its order.

    Reads flattened errors (an item for each entity) and plain fields (by position, or by name where it is about
    uniqueness or a reference). Empty where it says nothing (R.1, 1).
    """
    found: dict[tuple[str, str], list[str]] = {}
    for entity, words in (*_flattened(body, entities), *_plain(body, entities)):
        found.setdefault((entity.type, entity.id), []).append(words)
    return {at: "; ".join(dict.fromkeys(words)) for at, words in found.items()}


def _flattened(
    body: Mapping[str, Any], entities: Mapping[str, Sequence[Entity]]
) -> Iterator[tuple[Entity, str]]:
    items = body.get("flattened_errors")
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        name = str(item.get("entity_type"))
        held = entities.get(_TYPES.get(name, f"{name}s"), ())
        entity = _named(held, str(item.get("entity_id")), str(item.get("entity_name")))
        if entity is None:
            entity = _blamed_by_mistake(item, entities)
        if entity is not None:
            yield entity, "; ".join(_messages(item.get("errors"))) or "refused without a word"


def _blamed_by_mistake(
    item: Mapping[str, Any], entities: Mapping[str, Sequence[Entity]]
) -> Entity | None:
    """3.9 blames `consumer: value must be null` of a plugin on the consumer (R.4, 26): any entity of that id."""
    ident = str(item.get("entity_id"))
    for held in entities.values():
        for entity in held:
            if entity.id == ident:
                return entity
    return None


def _messages(errors: object) -> Iterator[str]:
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            field = error.get("field")
            message = str(error.get("message"))
            yield f"{field}: {message}" if field else message


def _plain(
    body: Mapping[str, Any], entities: Mapping[str, Sequence[Entity]]
) -> Iterator[tuple[Entity, str]]:
    fields = body.get("fields")
    for entity_type, value in fields.items() if isinstance(fields, dict) else ():
        held = entities.get(entity_type, ())
        if isinstance(value, list):
            for index, said in enumerate(value):
                if said and index < len(held):
                    yield held[index], "; ".join(_leaves(said))
        elif isinstance(value, dict):
            for name, said in value.items():
                entity = _named(held, str(name), str(name))
                if entity is None and str(name).isdecimal() and int(name) <= len(held):
                    entity = held[int(name) - 1]  # a sparse Lua array becomes an object, from 1
                words = "; ".join(_leaves(said))
                entity = entity or _quoted(words, held)
                if entity is not None:
                    yield entity, words


def _leaves(said: object, path: str = "") -> Iterator[str]:
    if isinstance(said, str):
        yield f"{path}: {said}" if path and not path.startswith("@") else said
    elif isinstance(said, list):
        for index, item in enumerate(said):
            name = path if isinstance(item, str) and len(said) == 1 else f"{path}.{index + 1}"
            yield from _leaves(item, name.strip("."))
    elif isinstance(said, dict):
        for name, item in said.items():
            below = "" if name == "@entity" else str(name)
            yield from _leaves(item, f"{path}.{below}".strip("."))


def _named(held: Sequence[Entity], ident: str, name: str) -> Entity | None:
    for entity in held:
        if entity.id == ident:
            return entity
    if name in ("None", ""):
        return None
    found = []
    for entity in held:
        tree = entity.tree
        if name in (tree.get("name"), tree.get("username"), tree.get("custom_id"), tree.get("key")):
            found.append(entity)
    return found[-1] if len(found) == 1 or (found and found[0].type != "plugins") else None


def _quoted(words: str, held: Sequence[Entity]) -> Entity | None:
    """Find the entity whose id or name a message quotes."""
    for quoted in _QUOTED.findall(words):
        found = _named(held, quoted, quoted)
        if found is not None:
            return found
    return None


_QUOTED: Final = re.compile(r"'([^']{1,200})'")
