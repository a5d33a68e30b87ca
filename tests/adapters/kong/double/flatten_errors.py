"""`flatten_errors`.

Attributes errors to the entities of the payload, with the losses of each version.

Kong drains the sections of the error tree that belong to entity types, whatever becomes of their
errors. What is keyed by a name instead of a position is lost in every version; a bare text at a
position is lost before 3.6.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.adapters.kong.double.field_validators import is_uuid
from tests.adapters.kong.double.lua_errors import ErrorTree, invalid_declarative
from tests.adapters.kong.double.schema import Entity, SchemaSet


def flatten_errors(schemas: SchemaSet, document: Entity, errors: ErrorTree) -> dict[str, Any]:
    """The body of the 400; `flattened_errors` is `{}` when empty, as Lua writes an empty table."""
    document, rest = copy.deepcopy(document), copy.deepcopy(errors)
    items: list[dict[str, Any]] = []
    flattener = _Flattener(schemas, items)
    for section in sorted(errors, key=str, reverse=True):
        entities = document.get(section)
        if not isinstance(errors[section], dict) or not isinstance(entities, list):
            continue
        # Drained, whatever becomes of its errors: this is how Kong loses those keyed by name.
        found = rest.pop(section)
        for at in sorted(found, key=str, reverse=True):
            if isinstance(at, int) and at <= len(entities) and isinstance(entities[at - 1], dict):
                flattener.add(section, entities[at - 1], found[at])
    return {**invalid_declarative(rest), "flattened_errors": items or {}}


class _Flattener:
    def __init__(self, schemas: SchemaSet, items: list[dict[str, Any]]) -> None:
        self._schemas = schemas
        self._items = items
        # Since 3.6.1 a bare text at a position becomes an error of the entity.
        self._keeps_texts = schemas.is_at_least("3.6")

    def add(self, kind: str, entity: Entity, errors: Any) -> None:
        if isinstance(errors, str) and self._keeps_texts:
            errors = {"@entity": [errors]}
        if not isinstance(errors, dict) or not errors:
            return
        own_key = {"id": entity["id"]} if is_uuid(entity.get("id")) else None
        self._parents(kind, entity, errors)
        self._children(kind, entity, errors, own_key)
        messages = list(_messages(errors, ""))
        if messages:
            self._items.append(_item(kind, entity, messages))

    def _parents(self, kind: str, entity: Entity, errors: ErrorTree) -> None:
        """An error about a foreign key in table form is blamed on an entity of the key's type."""
        for name, reference in self._schemas.entities[kind].foreign.items():
            value = entity.get(name)
            if isinstance(value, dict):
                error = errors.pop(name, None)
                if is_uuid(value.get("id")):
                    entity[name] = {"id": value["id"]}
                else:
                    entity.pop(name)
                self.add(reference, value, error)

    def _children(
        self, kind: str, entity: Entity, errors: ErrorTree, own_key: dict[str, str] | None
    ) -> None:
        for child, key in self._schemas.children[kind].items():
            if not isinstance(entity.get(child), list):
                continue
            nested, found = entity.pop(child), errors.pop(child, None)
            for at, one in enumerate(nested, 1):
                if isinstance(found, dict) and isinstance(one, dict):
                    if own_key and key not in one:
                        one[key] = own_key
                    self.add(child, one, found.get(at))


def _item(kind: str, entity: Entity, messages: list[dict[str, str]]) -> dict[str, Any]:
    item: dict[str, Any] = {
        "entity_type": kind.removesuffix("s"), "entity": entity, "errors": messages,
    }  # fmt: skip
    if isinstance(entity.get("name"), str) and entity["name"]:
        item["entity_name"] = entity["name"]
    if is_uuid(entity.get("id")):
        item["entity_id"] = entity["id"]
    tags = entity.get("tags")
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        item["entity_tags"] = tags
    return item


def _messages(errors: ErrorTree, where: str) -> Any:
    for name in sorted(errors, key=str, reverse=True):
        found, place = errors[name], f"{where}.{name}" if where else str(name)
        if name == "@entity":
            yield from ({"type": "entity", "message": one} for one in found)
        elif isinstance(found, dict):
            yield from _messages(found, place)
        else:
            many = [found] if isinstance(found, str) else found
            yield from ({"type": "field", "field": place, "message": one} for one in many)
