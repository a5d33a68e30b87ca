"""POST /config without a database: schemas first, then ids, references and uniqueness."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from tests.adapters.kong.double.defaults import expand_shorthands
from tests.adapters.kong.double.entity_builder import EntityBuilder, generated_id, id_key
from tests.adapters.kong.double.field_validators import is_uuid
from tests.adapters.kong.double.lua_errors import ErrorTree
from tests.adapters.kong.double.references import (
    FlatEntity,
    InternalServerError,
    reference_errors,
    targets,
)
from tests.adapters.kong.double.schema import Entity, EntitySchema, SchemaSet
from tests.adapters.kong.double.validate import UNKNOWN, EntityValidator

Entities = dict[str, dict[str, Entity]]
_LOOKS_PLAIN = re.compile(r"[a-zA-Z0-9._~/%-]*")


class Refused(Exception):
    """The payload is wrong; `errors` tell where, `document` is what they point into."""

    def __init__(self, errors: ErrorTree, document: Entity) -> None:
        super().__init__(errors)
        self.errors = errors
        self.document = document


class DocumentLoader:
    def __init__(self, schemas: SchemaSet, builder: EntityBuilder) -> None:
        self._schemas = schemas
        self._builder = builder
        self._validation = EntityValidator(schemas, _foreign)

    def load(self, document: Entity) -> Entities:
        """The entities of the document as they are read back.

        Raises `Refused`, `Crashed`, `Mismatch`.
        """
        # All schema errors come together; references are looked at in a valid document only.
        errors = self._schema_errors(_without_listed_names(document))
        if errors:
            raise Refused(errors, document)
        document = copy.deepcopy(document)
        if document["_format_version"] in ("1.1", "2.1"):
            _migrate_paths(document)
        # The names of a listed certificate are no entities: Kong fails over them.
        for one in _tables(document.get("certificates")):
            if any(isinstance(name, str) for name in one.get("snis") or ()):
                raise InternalServerError
        self._generate_ids(document)
        flat_entities = list(self._flatten(copy.deepcopy(document)))
        errors = reference_errors(flat_entities)
        if errors:
            raise Refused(errors, document)
        is_transformed = document.get("_transform") is not False
        entities: Entities = {}
        for one in flat_entities:
            stored = self._builder.build_entity(
                one.schema, self._flat(one, flat_entities), is_transformed
            )
            entities.setdefault(one.schema.name, {})[stored["id"]] = stored
        return entities

    # Schemas ------------------------------------------------------------------------------------
    # -------------

    def _schema_errors(self, document: Entity) -> ErrorTree:
        errors: ErrorTree = {}
        for name, value in document.items():
            error = self._section_error(name, value)
            if error:
                errors[name] = error
        if document.get("_format_version") is None:
            errors["_format_version"] = "required field missing"
        if errors or _has_table_key(document, self._schemas):
            self._unresolved(document, errors)
        return errors

    def _section_error(self, name: str, value: Any) -> Any:
        if name == "_format_version" and value is not None:
            if not isinstance(value, str):
                return "expected a string"
            formats = ("1.1", "2.1", "3.0") if self._schemas.is_at_least("3.0") else ("1.1", "2.1")
            return None if value in formats else f"expected one of: {', '.join(formats)}"
        if name == "_transform":
            return None if isinstance(value, bool) else "expected a boolean"
        if name.startswith("_"):
            return None if name in ("_comment", "_ignore", "_format_version") else UNKNOWN
        if name not in self._schemas.entities:
            return UNKNOWN
        if not isinstance(value, list):
            return None if value is None else "expected an array"
        return self._many(self._schemas.entities[name], value, set())

    def _many(self, schema: EntitySchema, items: list[Any], given: set[str]) -> ErrorTree:
        return {at: e for at, one in enumerate(items, 1) if (e := self._one(schema, one, given))}

    def _one(self, schema: EntitySchema, item: Any, given: set[str]) -> Any:
        if not isinstance(item, dict):
            return "expected a record"
        children = self._schemas.children[schema.name]
        own = {n: v for n, v in item.items() if n not in children}
        errors = self._validation.errors(
            schema, expand_shorthands(schema, own, self._schemas.plugins), given
        )
        for child, key in children.items():
            value = item.get(child)
            if value is None:
                continue
            if not isinstance(value, list):
                errors[child] = "expected an array"
            elif found := self._many(self._schemas.entities[child], value, {key}):
                errors[child] = found
        return errors

    def _unresolved(self, document: Entity, errors: ErrorTree) -> None:
        """Kong validates a second time, with ids in place, when anything failed or a key came as a
        table; only then does a name that points nowhere count as a schema error.
        """
        names = self._known_names(document)
        for name, schema in self._schemas.entities.items():
            items = document.get(name)
            for at, item in enumerate(items if isinstance(items, list) else [], 1):
                if not isinstance(item, dict):
                    continue
                for key, reference in schema.foreign.items():
                    value = item.get(key)
                    if isinstance(value, str) and value not in names.get(reference, ()):
                        section = errors.setdefault(name, {})
                        if isinstance(section.setdefault(at, {}), dict):
                            section[at].setdefault(key, {"id": "missing primary key"})

    def _known_names(self, document: Entity) -> dict[str, set[str]]:
        """Entity type -> ids and names that a foreign key given as a string may mean."""
        copied = copy.deepcopy(document)
        self._generate_ids(copied)
        found: dict[str, set[str]] = {}
        for one in self._flatten(copied):
            keys = (one.entity.get("id"), one.entity.get(one.schema.endpoint_key or "id"))
            found.setdefault(one.schema.name, set()).update(k for k in keys if isinstance(k, str))
        return found

    # Ids and references
    # --------------------------------------------------------------------------------------

    def _generate_ids(self, holder: Entity, parent: str | None = None) -> None:
        children = self._schemas.children[parent] if parent else {}
        for name in list(holder):
            if name not in (children if parent else self._schemas.entities):
                continue
            schema = self._schemas.entities[name]
            for item in _tables(holder[name]):
                if "id" not in item:
                    above = (children[name], holder["id"]) if parent and "id" in holder else None
                    key = id_key(schema, item, above)
                    if key is not None:
                        item["id"] = generated_id(name, key)
                self._generate_ids(item, name)

    def _flatten(
        self, holder: Entity, parent: tuple[str, int] | None = None
    ) -> Iterator[FlatEntity]:
        names = self._schemas.children[parent[0]] if parent else self._schemas.entities
        for name in names:
            schema = self._schemas.entities[name]
            for at, item in enumerate(_tables(holder.get(name)), 1):
                if item.get("id") is None:
                    item["id"] = self._builder.random_id()
                if parent:
                    key = self._schemas.children[parent[0]][name]
                    item.setdefault(key, {"id": holder["id"]})
                yield FlatEntity(schema, item, at, parent)
                yield from self._flatten(item, (name, at))

    def _flat(self, one: FlatEntity, flat_entities: list[FlatEntity]) -> Entity:
        children = self._schemas.children[one.schema.name]
        dropped = {"_comment", "_ignore", *children}
        entity = {n: v for n, v in one.entity.items() if n not in dropped}
        known = self._index(flat_entities)
        for key, reference in one.schema.foreign.items():
            if isinstance(entity.get(key), str):
                entity[key] = {"id": known[reference][entity[key]]}
        return entity

    def _index(self, flat_entities: list[FlatEntity]) -> dict[str, dict[str, str]]:
        if getattr(self, "_indexed", None) is not flat_entities:
            self._indexed, self._targets = flat_entities, targets(flat_entities)
        return self._targets


def _foreign(value: Any, reference: str) -> Any:
    if isinstance(value, str):
        return None
    if not isinstance(value, dict):
        return "expected a string"
    if value.get("id") is None:
        return {"id": "missing primary key"}
    return None if is_uuid(value["id"]) else {"id": "expected a valid UUID"}


def _without_listed_names(document: Entity) -> Entity:
    """The document without names of a listed certificate, which pass the schemas as they are."""
    listed = document.get("certificates")
    if not isinstance(listed, list):
        return document
    return {**document, "certificates": [_without_names(one) for one in listed]}


def _without_names(item: Any) -> Any:
    names = item.get("snis") if isinstance(item, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return item
    return {name: value for name, value in item.items() if name != "snis"}


def _tables(items: Any) -> list[Entity]:
    found = items if isinstance(items, list) else []
    return [one for one in found if isinstance(one, dict)]


def _has_table_key(document: Entity, schemas: SchemaSet) -> bool:
    return any(
        isinstance(item.get(key), dict)
        for name, schema in schemas.entities.items()
        for item in _tables(document.get(name))
        for key in schema.foreign
    )


def _migrate_paths(document: Entity) -> None:
    """Mark paths with regex characters by `~`: before format 3.0 they were regexes."""
    services = document.get("services") or []
    for route in (document.get("routes") or []) + [
        r for s in services for r in s.get("routes") or []
    ]:
        route["paths"] = route.get("paths") and [
            path if _LOOKS_PLAIN.fullmatch(path) or path.startswith("~") else f"~{path}"
            for path in route["paths"]
        ]
        if route["paths"] is None:
            del route["paths"]
