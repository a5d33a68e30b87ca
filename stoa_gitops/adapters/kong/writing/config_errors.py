"""Parse Kong's error bodies of POST /config and find the entities that they are about. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import Entity

EntityErrors = Mapping[tuple[str, str], str]
"""(entity type, id) -> Kong's error message."""

_TYPES: Final[Mapping[str, str]] = {
    "certificate": "certificates", "ca_certificate": "ca_certificates", "vault": "vaults",
    "key_set": "key_sets",
    "key": "keys", "sni": "snis", "service": "services", "upstream": "upstreams",
    "target": "targets",
    "route": "routes", "consumer": "consumers", "keyauth_credential": "keyauth_credentials",
    "basicauth_credential": "basicauth_credentials", "jwt_secret": "jwt_secrets",
    "hmacauth_credential": "hmacauth_credentials", "oauth2_credential": "oauth2_credentials",
    "acl": "acls",
    "plugin": "plugins", "filter_chain": "filter_chains",
}  # fmt: skip


def offending_entities(
    body: Mapping[str, Any], entities: Mapping[str, Sequence[Entity]]
) -> EntityErrors:
    """Return the error of each entity that a 400 names.

    `entities` are those of the document, in its order.

    Reads both forms of Kong: `flattened_errors` (an item for each entity) and `fields` (keyed by
    position, or by name where uniqueness or a reference is violated). Empty where Kong names
    nobody: with flattening it loses reference errors and names of second unique fields
    (Kong 3.4.2 and 3.9.1).
    """
    found: dict[tuple[str, str], list[str]] = {}
    for entity, message in (*_flattened(body, entities), *_plain(body, entities)):
        found.setdefault((entity.type, entity.id), []).append(message)
    return {at: "; ".join(dict.fromkeys(messages)) for at, messages in found.items()}


def _flattened(
    body: Mapping[str, Any], entities: Mapping[str, Sequence[Entity]]
) -> Iterator[tuple[Entity, str]]:
    items = body.get("flattened_errors")
    # Lua writes an empty table as `{}`: an object means "no item".
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        name = str(item.get("entity_type"))
        candidates = entities.get(_TYPES.get(name, f"{name}s"), ())
        entity = _find_named(candidates, str(item.get("entity_id")), str(item.get("entity_name")))
        if entity is None:
            # Kong 3.9.1 reports `consumer: value must be null` of a cors plugin under
            # `entity_type: "consumer"`, so the id may be one of another type.
            entity = _find_by_id(str(item.get("entity_id")), entities)
        if entity is not None:
            messages = "; ".join(_flattened_messages(item.get("errors")))
            yield entity, messages or "refused without a reason"


def _find_by_id(ident: str, entities: Mapping[str, Sequence[Entity]]) -> Entity | None:
    return next((e for of_type in entities.values() for e in of_type if e.id == ident), None)


def _flattened_messages(errors: object) -> Iterator[str]:
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            field = error.get("field")
            message = str(error.get("message"))
            yield f"{field}: {message}" if field else message


def _plain(
    body: Mapping[str, Any], entities: Mapping[str, Sequence[Entity]]
) -> Iterator[tuple[Entity, str]]:
    fields = body.get("fields")
    for entity_type, errors in fields.items() if isinstance(fields, dict) else ():
        candidates = entities.get(entity_type, ())
        if isinstance(errors, list):
            # By position from 0, with null where an entity is right.
            for index, error in enumerate(errors):
                if error and index < len(candidates):
                    yield candidates[index], "; ".join(_messages(error))
        elif isinstance(errors, dict):
            for name, error in errors.items():
                message = "; ".join(_messages(error))
                entity = _find_keyed(str(name), candidates) or _find_quoted(message, candidates)
                if entity is not None:
                    yield entity, message


def _find_keyed(name: str, candidates: Sequence[Entity]) -> Entity | None:
    """Find an entity by the key of its error: a name, an id, or a position."""
    entity = _find_named(candidates, name, name)
    if entity is None and name.isdecimal() and int(name) <= len(candidates):
        # A Lua array with large holes becomes a JSON object, whose keys count from 1.
        return candidates[int(name) - 1]
    return entity


def _messages(error: object, path: str = "") -> Iterator[str]:
    """Yield `field.path: message` for each leaf of an error tree."""
    if isinstance(error, str):
        yield f"{path}: {error}" if path and not path.startswith("@") else error
    elif isinstance(error, list):
        for index, item in enumerate(error):
            # Positions count from 1 in flattened errors, so they do in plain ones here, too.
            name = path if isinstance(item, str) and len(error) == 1 else f"{path}.{index + 1}"
            yield from _messages(item, name.strip("."))
    elif isinstance(error, dict):
        for name, item in error.items():
            below = "" if name == "@entity" else str(name)
            yield from _messages(item, f"{path}.{below}".strip("."))


def _find_named(candidates: Sequence[Entity], ident: str, name: str) -> Entity | None:
    for entity in candidates:
        if entity.id == ident:
            return entity
    if name in ("None", ""):
        return None
    found = []
    for entity in candidates:
        tree = entity.tree
        if name in (tree.get("name"), tree.get("username"), tree.get("custom_id"), tree.get("key")):
            found.append(entity)
    # The `entity_name` of a plugin is that of its kind (`cors`): it tells one only where there is
    # but one of them. Elsewhere a name is unique, and Kong complains of the later entity.
    return found[-1] if len(found) == 1 or (found and found[0].type != "plugins") else None


def _find_quoted(message: str, candidates: Sequence[Entity]) -> Entity | None:
    """Find the entity whose id or name a message quotes."""
    for quoted in _QUOTED.findall(message):
        found = _find_named(candidates, quoted, quoted)
        if found is not None:
            return found
    return None


_QUOTED: Final = re.compile(r"'([^']{1,200})'")
