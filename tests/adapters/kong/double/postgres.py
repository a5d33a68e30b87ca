"""Single writes of a Kong with PostgreSQL."""

from __future__ import annotations

import json
from typing import Any

from tests.adapters.kong.double.defaults import DeprecatedFieldMismatch
from tests.adapters.kong.double.entity_builder import EntityBuilder
from tests.adapters.kong.double.field_validators import is_uuid
from tests.adapters.kong.double.lua_errors import failure, format_lua, schema_violation
from tests.adapters.kong.double.resource_paths import ResourcePath, ResourceResolver
from tests.adapters.kong.double.responses import (
    INTERNAL_ERROR,
    NO_CONTENT,
    NOT_FOUND,
    Response,
    failed,
)
from tests.adapters.kong.double.schema import Entity, EntitySchema
from tests.adapters.kong.double.single_writes import (
    apply_patch,
    not_found,
    single_foreign,
    validation_response,
)
from tests.adapters.kong.double.store import Store, with_port
from tests.adapters.kong.double.validate import EntityValidator


class Conflict(Exception):
    """A write that the database refuses; carries the answer."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.answer = failed(body)


class Database:
    def __init__(self, store: Store, resources: ResourceResolver, builder: EntityBuilder) -> None:
        self._store = store
        self._resources = resources
        self._builder = builder
        self._validation = EntityValidator(store.schemas, single_foreign)

    def write(self, method: str, resource: ResourcePath, body: Entity) -> Response:
        try:
            if method == "DELETE":
                return self._delete(resource)
            if method == "PATCH":
                return self._patch(resource, body)
            return self._put(resource, body) if method == "PUT" else self._post(resource, body)
        except Conflict as refused:
            return refused.answer
        except DeprecatedFieldMismatch:
            return INTERNAL_ERROR

    def _post(self, resource: ResourcePath, body: Entity) -> Response:
        if is_uuid(body.get("id")) and body["id"] in self._store.of_type(resource.schema.name):
            wrong = self._wrong(resource, body)
            text = f"primary key violation on key '{format_lua({'id': body['id']})}'"
            return wrong or failed(failure(3, text, fields={"id": body["id"]}))
        return self._saved(201, resource, body)

    def _put(self, resource: ResourcePath, body: Entity) -> Response:
        old = self._resources.found(resource) if resource.ident else None
        if resource.schema.name == "targets":
            # PUT of a target is what PATCH is (kong/api/routes/upstreams.lua).
            return self._patch(resource, body) if old is not None else NOT_FOUND
        body = {n: v for n, v in body.items() if n != "id"}
        if old is not None:
            body["id"] = old["id"]
        elif resource.ident and is_uuid(resource.ident):
            body["id"] = resource.ident
        key = self._store.key_of(resource.schema)
        if key and resource.ident and not is_uuid(resource.ident):
            body[key] = resource.ident
        return self._saved(200, resource, body)

    def _patch(self, resource: ResourcePath, body: Entity) -> Response:
        old = self._resources.found(resource)
        if old is None:
            return not_found(self._store, resource)
        whole = apply_patch(resource.schema, old, body, self._store.schemas)
        return self._saved(200, resource, whole, is_new_secret="password" in body)

    def _saved(
        self, status: int, resource: ResourcePath, body: Entity, *, is_new_secret: bool = True
    ) -> Response:
        wrong = self._wrong(resource, body)
        if wrong:
            return wrong
        # PostgreSQL has no text with U+0000.
        if "\\u0000" in json.dumps(body):
            return INTERNAL_ERROR
        schema = resource.schema
        body = self._resolved(schema, dict(body))
        if resource.owner:
            body[resource.owner[0]] = {"id": resource.owner[1]["id"]}
        if schema.name == "targets":
            # A database stores the default port with the target.
            body["target"] = with_port(body["target"])
        stored = self._builder.build_entity(schema, body, is_new_secret)
        self._unique(schema, stored)
        self._protocols(schema, stored)
        self._store.of_type(schema.name)[stored["id"]] = stored
        if resource.source and resource.source[0][resource.source[1]] is None:
            resource.source[0][resource.source[1]] = {"id": stored["id"]}
        return Response(status, self._store.with_shown_fields(schema, stored))

    def _wrong(self, resource: ResourcePath, body: Entity) -> Response | None:
        plain = {n: v for n, v in body.items() if n not in ("created_at", "updated_at")}
        return validation_response(self._validation, self._store.schemas, resource, plain)

    def _resolved(self, schema: EntitySchema, body: Entity) -> Entity:
        for key, kind in schema.foreign.items():
            value = body.get(key)
            if not isinstance(value, dict):
                continue
            if "id" not in value:
                body[key] = {"id": self._by_name(key, kind, value)}
            elif value["id"] not in self._store.of_type(kind):
                text = (
                    f"the foreign key '{format_lua(value)}' does not reference an existing "
                    f"'{kind}' entity."
                )
                raise Conflict(failure(4, text, fields={key: value}))
        return body

    def _by_name(self, key: str, kind: str, value: Entity) -> str:
        found = self._store.find_by(kind, value)
        if found:
            return str(found["id"])
        name = next(iter(value))
        why = (
            f"the foreign key cannot be resolved with '{format_lua(value)}' for an existing "
            f"'{kind}' entity"
        )
        text = f"foreign key unresolved ({key}.{name}: {why})"
        raise Conflict(failure(13, text, fields={key: {name: why}}))

    def _unique(self, schema: EntitySchema, stored: Entity) -> None:
        sets = [[name] for name in schema.unique]
        if len(schema.cache_key) > 1 and schema.name != "keys":
            sets.append(schema.cache_key)
        for names in sets:
            values = {name: stored[name] for name in names}
            if values[names[0]] is None:
                continue
            for other in self._store.of_type(schema.name).values():
                is_same = all(other.get(name) == value for name, value in values.items())
                if is_same and other["id"] != stored["id"]:
                    text = f"UNIQUE violation detected on '{format_lua(values)}'"
                    raise Conflict(failure(5, text, fields=values))

    def _protocols(self, schema: EntitySchema, stored: Entity) -> None:
        """A plugin must share a protocol with its route, or a route of its service (3.4, 3.9)."""
        if schema.name != "plugins":
            return
        if stored["route"]:
            routes = [self._store.of_type("routes")[stored["route"]["id"]]]
            why = "must match the associated route's protocols"
        elif stored["service"]:
            routes = self._store.children("routes", "service", stored["service"]["id"])
            why = "must match the protocols of at least one route pointing to this Plugin's service"
        else:
            return
        wanted = set(stored["protocols"])
        if routes and not any(wanted & set(route["protocols"]) for route in routes):
            raise Conflict(schema_violation({"protocols": why}))

    def _delete(self, resource: ResourcePath) -> Response:
        found = self._resources.found(resource)
        if found is None and resource.schema.name == "targets":
            return NOT_FOUND
        if found:
            self._removable(resource.schema.name, found["id"])
            self._remove(resource.schema.name, found["id"])
        return NO_CONTENT

    def _removable(self, kind: str, ident: str) -> None:
        for child, key in self._store.schemas.children[kind].items():
            cascades = self._store.schemas.entities[child].fields[key].get("on_delete")
            if not cascades and self._store.children(child, key, ident):
                text = f"an existing '{child}' entity references this '{kind}' entity"
                raise Conflict(failure(4, text, fields={"@referenced_by": child}))

    def _remove(self, kind: str, ident: str) -> None:
        for child, key in self._store.schemas.children[kind].items():
            for one in self._store.children(child, key, ident):
                self._remove(child, one["id"])
        del self._store.of_type(kind)[ident]
