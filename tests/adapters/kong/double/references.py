"""References and uniqueness inside one payload: checked only after every schema is satisfied."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.adapters.kong.double.lua_errors import ErrorTree
from tests.adapters.kong.double.schema import Entity, EntitySchema


class InternalServerError(Exception):
    """Kong fails over this payload and answers 500, though it is merely wrong."""


@dataclass
class FlatEntity:
    """One entity of the payload with the place it stands at."""

    schema: EntitySchema
    entity: Entity
    at: int
    parent: tuple[str, int] | None = None


def reference_errors(flat_entities: list[FlatEntity]) -> ErrorTree:
    """What points nowhere or is there twice. Raises `Crashed`.

    Kong has no place for the error of a nameless entity.
    """
    errors = _duplicates(flat_entities)
    known = targets(flat_entities)
    for one in flat_entities:
        for key, reference in one.schema.foreign.items():
            value = one.entity.get(key)
            wanted = value.get("id") if isinstance(value, dict) else value
            if wanted is None or wanted in known.get(reference, {}):
                continue
            name = one.entity.get(one.schema.endpoint_key or "")
            if not isinstance(name, str) or one.schema.endpoint_key not in one.schema.unique:
                # Kong keys the error by the entity's name, and fails where it has none.
                raise InternalServerError
            shown = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            text = f"invalid reference '{key}: {shown}' (no such entry in '{reference}')"
            errors.setdefault(one.schema.name, {}).setdefault(name, []).append(text)
    return errors or _second_keys(flat_entities)


def _duplicates(flat_entities: list[FlatEntity]) -> ErrorTree:
    errors: ErrorTree = {}
    names: set[tuple[str, str]] = set()
    ids: set[tuple[str, str]] = set()
    for one in flat_entities:
        kind, key = one.schema.name, one.schema.endpoint_key
        value = one.entity.get(key or "")
        if key in one.schema.unique and isinstance(value, str):
            if (kind, value) in names:
                errors.setdefault(kind, {})[one.at] = _uniqueness_message(kind, str(key), value)
                continue
            names.add((kind, value))
        if (kind, one.entity["id"]) in ids:
            place = errors
            if one.parent:
                place = errors.setdefault(one.parent[0], {}).setdefault(one.parent[1], {})
            text = _uniqueness_message(kind, "primary key", one.entity["id"])
            place.setdefault(kind, {})[one.at] = text
        ids.add((kind, one.entity["id"]))
    return errors


def targets(flat_entities: list[FlatEntity]) -> dict[str, dict[str, str]]:
    """Entity type -> name or id -> id."""
    found: dict[str, dict[str, str]] = {}
    for one in flat_entities:
        names = found.setdefault(one.schema.name, {})
        names[one.entity["id"]] = one.entity["id"]
        name = one.entity.get(one.schema.endpoint_key or "")
        if isinstance(name, str):
            names[name] = one.entity["id"]
    return found


def _second_keys(flat_entities: list[FlatEntity]) -> ErrorTree:
    """Unique fields beside the endpoint key; their errors are keyed by name, not by position."""
    errors: ErrorTree = {}
    seen: set[tuple[str, str, str]] = set()
    for one in flat_entities:
        for key in one.schema.unique:
            value = one.entity.get(key)
            if key == one.schema.endpoint_key or not isinstance(value, str):
                continue
            if (one.schema.name, key, value) in seen:
                name = one.entity.get(one.schema.endpoint_key or "") or one.entity["id"]
                text = _uniqueness_message(one.schema.name, key, value)
                errors.setdefault(one.schema.name, {})[name] = text
            seen.add((one.schema.name, key, value))
    return errors


def _uniqueness_message(kind: str, key: str, value: str) -> str:
    return f"uniqueness violation: '{kind}' entity with {key} set to '{value}' already declared"
