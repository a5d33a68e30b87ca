"""The entities of the double, and how they are found."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from tests.adapters.kong.double.field_validators import is_uuid
from tests.adapters.kong.double.schema import Entity, EntitySchema, SchemaSet


@dataclass
class Store:
    schemas: SchemaSet
    database: str
    entities: dict[str, dict[str, Entity]] = field(default_factory=dict)

    def of_type(self, entity_type: str) -> dict[str, Entity]:
        return self.entities.setdefault(entity_type, {})

    def list_in_order(self, entity_type: str) -> list[Entity]:
        """As a list without a filter shows them: by id since 3.9 and with a database.

        Before, an order that looks random and changes with the ids.
        """
        found = list(self.entities.get(entity_type, {}).values())
        return sorted(
            found, key=lambda one: str(one["id"] if self.is_by_id else _pseudo_random_key(one))
        )

    @property
    def is_by_id(self) -> bool:
        return self.database == "postgres" or self.schemas.is_at_least("3.9")

    def children(self, entity_type: str, key: str, parent_id: str) -> list[Entity]:
        return [
            one
            for one in self.list_in_order(entity_type)
            if one[key] and one[key]["id"] == parent_id
        ]

    def find(
        self, schema: EntitySchema, ident: str, owner: tuple[str, str] | None
    ) -> Entity | None:
        """By id if it looks like one, else by the endpoint key.

        `owner` is (foreign key, parent id).
        """
        found = self.entities.get(schema.name, {})
        if is_uuid(ident):
            candidates = [found[ident]] if ident in found else []
        else:
            key = self.key_of(schema)
            candidates = [
                one
                for one in found.values()
                if key and self.with_shown_fields(schema, one)[key] == ident
            ]
        for one in candidates:
            if owner is None or (one[owner[0]] or {}).get("id") == owner[1]:
                return one
        return None

    def key_of(self, schema: EntitySchema) -> str | None:
        return schema.endpoint_key or schema.nested_key

    def with_shown_fields(self, schema: EntitySchema, entity: Entity) -> Entity:
        """As the entity endpoints show it.

        Targets get their port, certificates the names they serve.
        """
        if schema.name == "targets":
            return {**entity, "target": with_port(entity["target"])}
        if schema.name == "certificates":
            names = [s["name"] for s in self.children("snis", "certificate", entity["id"])]
            return {**entity, "snis": names}
        return entity

    def find_by(self, entity_type: str, values: dict[str, Any]) -> Entity | None:
        for one in self.entities.get(entity_type, {}).values():
            if all(one.get(name) == value for name, value in values.items()):
                return one
        return None


def with_port(target: str) -> str:
    # Kong's default port of a target; shown by the endpoints, not stored without a database.
    return target if re.search(r":\d+$", target) else f"{target}:8000"


def _pseudo_random_key(entity: Entity) -> str:
    return hashlib.md5(str(entity["id"]).encode()).hexdigest()
