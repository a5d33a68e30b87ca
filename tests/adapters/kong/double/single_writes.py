"""Single writes. Without a database they are validated and then refused.

`database.py` carries them out.
"""

from __future__ import annotations

from typing import Any

from tests.adapters.kong.double.defaults import (
    DeprecatedFieldMismatch,
    expand_shorthands,
    without_echoes,
)
from tests.adapters.kong.double.entity_builder import EntityBuilder
from tests.adapters.kong.double.field_validators import is_uuid
from tests.adapters.kong.double.lua_errors import failure, format_lua, schema_violation
from tests.adapters.kong.double.node_info import EMPTY_COLLECTIONS
from tests.adapters.kong.double.resource_paths import (
    ResourcePath,
    ResourceResolver,
    has_health_checks,
)
from tests.adapters.kong.double.responses import (
    INTERNAL_ERROR,
    NO_CONTENT,
    NOT_ALLOWED,
    NOT_FOUND,
    Response,
    failed,
    message,
)
from tests.adapters.kong.double.schema import Entity, EntitySchema, SchemaSet, as_kong_shows
from tests.adapters.kong.double.store import Store
from tests.adapters.kong.double.validate import EntityValidator

_OWN = ("id", "created_at", "updated_at")


def single_foreign(value: Any, reference: str) -> Any:
    if not isinstance(value, dict):
        return "expected a record"
    if "id" in value and not is_uuid(value["id"]):
        return {"id": "expected a valid UUID"}
    return None if value else {"id": "missing primary key"}


class ReadOnlyWriter:
    """The answers to single writes of a Kong that has no database."""

    def __init__(self, store: Store, resources: ResourceResolver) -> None:
        self._store = store
        self._resources = resources
        self._validation = EntityValidator(store.schemas, single_foreign)

    def write(self, method: str, resource: ResourcePath, body: Entity) -> Response:
        if method == "POST":
            return self._created(resource, body)
        if method == "PUT":
            return self._invalid(resource, _named(self._store, resource, body)) or self._refuse(
                "create or update", resource
            )
        if self._resources.found(resource) is None:
            # DELETE of what is not there is 204 in every mode; PATCH is 404.
            return NO_CONTENT if method == "DELETE" else not_found(self._store, resource)
        return self._refuse("update" if method == "PATCH" else "remove", resource)

    def _created(self, resource: ResourcePath, body: Entity) -> Response:
        return self._invalid(resource, body) or self._refuse("create", resource)

    def _invalid(self, resource: ResourcePath, body: Entity) -> Response | None:
        return validation_response(self._validation, self._store.schemas, resource, body)

    def _refuse(self, verb: str, resource: ResourcePath) -> Response:
        by = ""
        if resource.ident and not is_uuid(resource.ident) and resource.schema.name != "targets":
            by = f" by '{resource.schema.endpoint_key}'"
        text = f"cannot {verb} '{resource.schema.name}' entities{by} when not using a database"
        return failed(failure(12, text))


def validation_response(
    validation: EntityValidator, schemas: SchemaSet, resource: ResourcePath, body: Entity
) -> Response | None:
    given = {resource.owner[0]} if resource.owner else set()
    try:
        body = expand_shorthands(resource.schema, body, schemas.plugins)
    except DeprecatedFieldMismatch:
        return INTERNAL_ERROR
    errors = validation.errors(resource.schema, body, given)
    return failed(schema_violation(errors)) if errors else None


def _named(store: Store, resource: ResourcePath, body: Entity) -> Entity:
    """The name in the address wins over the one in the body."""
    key = store.key_of(resource.schema)
    if resource.ident and key and not is_uuid(resource.ident):
        return {**body, key: resource.ident}
    return body


def not_found(store: Store, resource: ResourcePath) -> Response:
    ident = resource.ident or ""
    if is_uuid(ident):
        text = f"could not find the entity with primary key '{format_lua({'id': ident})}'"
        return failed(failure(6, text, fields={"id": ident}))
    name = {store.key_of(resource.schema) or "id": ident}
    text = f"could not find the entity with '{format_lua(name)}'"
    return failed(failure(6, text, fields=name))


def is_allowed(method: str, resource: ResourcePath) -> bool:
    if resource.source:
        return method in ("GET", "HEAD", "PUT", "PATCH")
    if resource.ident is None:
        return method in ("GET", "HEAD", "POST")
    return method in ("GET", "HEAD", "PUT", "PATCH", "DELETE")


def target_health(store: Store, parts: list[str]) -> Response | None:
    """`PUT /upstreams/u/targets/t[/address]/healthy`: runtime only, works without a database."""
    if len(parts) < 5 or parts[0] != "upstreams" or parts[-1] not in ("healthy", "unhealthy"):
        return None
    upstream = store.find(store.schemas.entities["upstreams"], parts[1], None)
    if upstream is None:
        return NOT_FOUND
    if not has_health_checks(upstream):
        return message(400, f"no healthchecker found for {upstream['name']}")
    return NO_CONTENT


class SchemaEndpoints:
    """`/schemas/...`: shows schemas and validates one entity on its own; works in every mode."""

    def __init__(self, schemas: SchemaSet, builder: EntityBuilder) -> None:
        self._schemas = schemas
        self._builder = builder
        self._validation = EntityValidator(schemas, single_foreign)

    def answer(self, method: str, parts: list[str], body: Entity) -> Response:
        """`parts` follow `/schemas`: [entity], ["plugins", name] or [entity, "validate"]."""
        if parts[-1] == "validate" and len(parts) == 2:
            return self._validate(parts[0], body) if method == "POST" else NOT_ALLOWED
        if method not in ("GET", "HEAD"):
            return NOT_ALLOWED
        if parts[0] == "plugins" and len(parts) == 2:
            plugin = self._schemas.plugins.get(parts[1])
            if plugin is None:
                return message(404, f"No plugin named '{parts[1]}'")
            config = {"type": "record", "required": True, "fields": plugin.config}
            return Response(200, as_kong_shows({"config": config}, plugin.checks))
        schema = self._schemas.entities.get(parts[0]) if len(parts) == 1 else None
        if parts[0] in EMPTY_COLLECTIONS and len(parts) == 1:
            return Response(200, {"fields": []})
        if schema is None:
            return message(404, f"No entity named '{parts[0]}'")
        return Response(200, as_kong_shows(schema.fields, schema.checks))

    def _validate(self, name: str, body: Entity) -> Response:
        schema = self._schemas.entities.get(name)
        if schema is None:
            return message(404, f"No entity named '{name}'")
        wrong = validation_response(self._validation, self._schemas, ResourcePath(schema), body)
        return wrong or message(200, "schema validation successful")


def apply_patch(schema: EntitySchema, old: Entity, new: Entity, schemas: SchemaSet) -> Entity:
    """The entity after a PATCH: records are merged, arrays replaced, null clears.

    Raises `Mismatch`.
    """
    old = without_echoes(old, schemas.plugins)
    name = {"name": old["name"]} if schema.name == "plugins" else {}
    return _merge(old, expand_shorthands(schema, {**name, **new}, schemas.plugins))


def _merge(old: Entity, new: Entity) -> Entity:
    result = dict(old)
    for key, value in new.items():
        is_record = isinstance(value, dict) and isinstance(old.get(key), dict) and "id" not in value
        result[key] = _merge(old[key], value) if is_record else value
    return result
