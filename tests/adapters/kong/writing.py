"""Single writes. Without a database they are validated and then refused; `database.py` carries them out."""

from __future__ import annotations

from typing import Any

from tests.adapters.kong.answers import (
    CRASH,
    NO_CONTENT,
    NOT_ALLOWED,
    NOT_FOUND,
    Answer,
    failed,
    message,
)
from tests.adapters.kong.building import Builder
from tests.adapters.kong.filling import Mismatch, expanded, without_echoes
from tests.adapters.kong.luatext import failure, pretty, schema_violation
from tests.adapters.kong.resources import Place, Resources, has_health_checks
from tests.adapters.kong.schemas import Catalogue, Entity, EntitySchema, as_kong_shows
from tests.adapters.kong.store import Store
from tests.adapters.kong.validation import Validation
from tests.adapters.kong.validators import is_uuid

_OWN = ("id", "created_at", "updated_at")


def single_foreign(value: Any, reference: str) -> Any:
    if not isinstance(value, dict):
        return "expected a record"
    if "id" in value and not is_uuid(value["id"]):
        return {"id": "expected a valid UUID"}
    return None if value else {"id": "missing primary key"}


class Refuser:
    """The answers to single writes of a Kong that has no database."""

    def __init__(self, store: Store, resources: Resources) -> None:
        self._store = store
        self._resources = resources
        self._validation = Validation(store.catalogue, single_foreign)

    def write(self, method: str, place: Place, body: Entity) -> Answer:
        if method == "POST":
            return self._created(place, body)
        if method == "PUT":
            return self._invalid(place, _named(self._store, place, body)) or self._refuse(
                "create or update", place
            )
        if self._resources.found(place) is None:
            return NO_CONTENT if method == "DELETE" else not_found(self._store, place)
        return self._refuse("update" if method == "PATCH" else "remove", place)

    def _created(self, place: Place, body: Entity) -> Answer:
        return self._invalid(place, body) or self._refuse("create", place)

    def _invalid(self, place: Place, body: Entity) -> Answer | None:
        return invalid(self._validation, self._store.catalogue, place, body)

    def _refuse(self, verb: str, place: Place) -> Answer:
        by = ""
        if place.ident and not is_uuid(place.ident) and place.schema.name != "targets":
            by = f" by '{place.schema.endpoint_key}'"
        text = f"cannot {verb} '{place.schema.name}' entities{by} when not using a database"
        return failed(failure(12, text))


def invalid(
    validation: Validation, catalogue: Catalogue, place: Place, body: Entity
) -> Answer | None:
    given = {place.owner[0]} if place.owner else set()
    try:
        body = expanded(place.schema, body, catalogue.plugins)
    except Mismatch:
        return CRASH
    errors = validation.errors(place.schema, body, given)
    return failed(schema_violation(errors)) if errors else None


def _named(store: Store, place: Place, body: Entity) -> Entity:
    """The name in the address wins over the one in the body."""
    key = store.key_of(place.schema)
    if place.ident and key and not is_uuid(place.ident):
        return {**body, key: place.ident}
    return body


def not_found(store: Store, place: Place) -> Answer:
    ident = place.ident or ""
    if is_uuid(ident):
        text = f"could not find the entity with primary key '{pretty({'id': ident})}'"
        return failed(failure(6, text, fields={"id": ident}))
    name = {store.key_of(place.schema) or "id": ident}
    text = f"could not find the entity with '{pretty(name)}'"
    return failed(failure(6, text, fields=name))


def is_allowed(method: str, place: Place) -> bool:
    if place.source:
        return method in ("GET", "HEAD", "PUT", "PATCH")
    if place.ident is None:
        return method in ("GET", "HEAD", "POST")
    return method in ("GET", "HEAD", "PUT", "PATCH", "DELETE")


def target_health(store: Store, parts: list[str]) -> Answer | None:
    """`PUT /upstreams/u/targets/t[/address]/healthy`: runtime only, so it works without a database."""
    if len(parts) < 5 or parts[0] != "upstreams" or parts[-1] not in ("healthy", "unhealthy"):
        return None
    upstream = store.find(store.catalogue.entities["upstreams"], parts[1], None)
    if upstream is None:
        return NOT_FOUND
    if not has_health_checks(upstream):
        return message(400, f"no healthchecker found for {upstream['name']}")
    return NO_CONTENT


class Schemas:
    """`/schemas/...`: shows schemas and validates one entity on its own; works in every mode."""

    def __init__(self, catalogue: Catalogue, builder: Builder) -> None:
        self._catalogue = catalogue
        self._builder = builder
        self._validation = Validation(catalogue, single_foreign)

    def answer(self, method: str, parts: list[str], body: Entity) -> Answer:
        """`parts` follow `/schemas`: [entity], ["plugins", name] or [entity, "validate"]."""
        if parts[-1] == "validate" and len(parts) == 2:
            return self._validate(parts[0], body) if method == "POST" else NOT_ALLOWED
        if method not in ("GET", "HEAD"):
            return NOT_ALLOWED
        if parts[0] == "plugins" and len(parts) == 2:
            plugin = self._catalogue.plugins.get(parts[1])
            if plugin is None:
                return message(404, f"No plugin named '{parts[1]}'")
            config = {"type": "record", "required": True, "fields": plugin.config}
            return Answer(200, as_kong_shows({"config": config}, plugin.checks))
        schema = self._catalogue.entities.get(parts[0]) if len(parts) == 1 else None
        if schema is None:
            return message(404, f"No entity named '{parts[0]}'")
        return Answer(200, as_kong_shows(schema.fields, schema.checks))

    def _validate(self, name: str, body: Entity) -> Answer:
        schema = self._catalogue.entities.get(name)
        if schema is None:
            return message(404, f"No entity named '{name}'")
        wrong = invalid(self._validation, self._catalogue, Place(schema), body)
        return wrong or message(200, "schema validation successful")


def merged(schema: EntitySchema, old: Entity, new: Entity, catalogue: Catalogue) -> Entity:
    """The entity after a PATCH: records are merged, arrays replaced, null clears. Raises `Mismatch`."""
    old = without_echoes(old, catalogue.plugins)
    name = {"name": old["name"]} if schema.name == "plugins" else {}
    return _merge(old, expanded(schema, {**name, **new}, catalogue.plugins))


def _merge(old: Entity, new: Entity) -> Entity:
    result = dict(old)
    for key, value in new.items():
        is_record = isinstance(value, dict) and isinstance(old.get(key), dict) and "id" not in value
        result[key] = _merge(old[key], value) if is_record else value
    return result
