"""Single writes of a Kong with PostgreSQL."""

from __future__ import annotations

from typing import Any

from tests.adapters.kong.answers import CRASH, NO_CONTENT, Answer, failed
from tests.adapters.kong.building import Builder
from tests.adapters.kong.filling import Mismatch
from tests.adapters.kong.luatext import failure, pretty, schema_violation
from tests.adapters.kong.resources import Place, Resources
from tests.adapters.kong.schemas import Entity, EntitySchema
from tests.adapters.kong.store import Store, with_port
from tests.adapters.kong.validation import Validation
from tests.adapters.kong.validators import is_uuid
from tests.adapters.kong.writing import invalid, merged, not_found, single_foreign


class Conflict(Exception):
    """A write that the database refuses; carries the answer."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.answer = failed(body)


class Database:
    def __init__(self, store: Store, resources: Resources, builder: Builder) -> None:
        self._store = store
        self._resources = resources
        self._builder = builder
        self._validation = Validation(store.catalogue, single_foreign)

    def write(self, method: str, place: Place, body: Entity) -> Answer:
        try:
            if method == "DELETE":
                return self._delete(place)
            if method == "PATCH":
                return self._patch(place, body)
            return self._put(place, body) if method == "PUT" else self._post(place, body)
        except Conflict as refused:
            return refused.answer
        except Mismatch:
            return CRASH

    def _post(self, place: Place, body: Entity) -> Answer:
        if is_uuid(body.get("id")) and body["id"] in self._store.of(place.schema.name):
            wrong = self._wrong(place, body)
            text = f"primary key violation on key '{pretty({'id': body['id']})}'"
            return wrong or failed(failure(3, text, fields={"id": body["id"]}))
        return self._saved(201, place, body)

    def _put(self, place: Place, body: Entity) -> Answer:
        old = self._resources.found(place) if place.ident else None
        body = {n: v for n, v in body.items() if n != "id"}
        if old is not None:
            body["id"] = old["id"]
        elif place.ident and is_uuid(place.ident):
            body["id"] = place.ident
        key = self._store.key_of(place.schema)
        if key and place.ident and not is_uuid(place.ident):
            body[key] = place.ident
            if old is not None and place.schema.name == "targets":
                body["created_at"] = old["created_at"]
        return self._saved(200, place, body)

    def _patch(self, place: Place, body: Entity) -> Answer:
        old = self._resources.found(place)
        if old is None:
            return not_found(self._store, place)
        whole = merged(place.schema, old, body, self._store.catalogue)
        return self._saved(200, place, whole, is_new_secret="password" in body)

    def _saved(
        self, status: int, place: Place, body: Entity, *, is_new_secret: bool = True
    ) -> Answer:
        wrong = self._wrong(place, body)
        if wrong:
            return wrong
        schema = place.schema
        body = self._resolved(schema, dict(body))
        if place.owner:
            body[place.owner[0]] = {"id": place.owner[1]["id"]}
        if schema.name == "targets":
            body["target"] = with_port(body["target"])
        stored = self._builder.stored(schema, body, is_new_secret)
        self._unique(schema, stored)
        self._protocols(schema, stored)
        self._store.of(schema.name)[stored["id"]] = stored
        if place.source and place.source[0][place.source[1]] is None:
            place.source[0][place.source[1]] = {"id": stored["id"]}
        return Answer(status, self._store.shown(schema, stored))

    def _wrong(self, place: Place, body: Entity) -> Answer | None:
        plain = {n: v for n, v in body.items() if n not in ("created_at", "updated_at")}
        return invalid(self._validation, self._store.catalogue, place, plain)

    def _resolved(self, schema: EntitySchema, body: Entity) -> Entity:
        for key, kind in schema.foreign.items():
            value = body.get(key)
            if not isinstance(value, dict):
                continue
            if "id" not in value:
                body[key] = {"id": self._by_name(key, kind, value)}
            elif value["id"] not in self._store.of(kind):
                text = f"the foreign key '{pretty(value)}' does not reference an existing '{kind}' entity."
                raise Conflict(failure(4, text, fields={key: value}))
        return body

    def _by_name(self, key: str, kind: str, value: Entity) -> str:
        found = self._store.find_by(kind, value)
        if found:
            return str(found["id"])
        name = next(iter(value))
        why = f"the foreign key cannot be resolved with '{pretty(value)}' for an existing '{kind}' entity"
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
            for other in self._store.of(schema.name).values():
                is_same = all(other.get(name) == value for name, value in values.items())
                if is_same and other["id"] != stored["id"]:
                    text = f"UNIQUE violation detected on '{pretty(values)}'"
                    raise Conflict(failure(5, text, fields=values))

    def _protocols(self, schema: EntitySchema, stored: Entity) -> None:
        """With a database a plugin must share a protocol with its route, or a route of its service."""
        if schema.name != "plugins":
            return
        if stored["route"]:
            routes = [self._store.of("routes")[stored["route"]["id"]]]
            why = "must match the associated route's protocols"
        elif stored["service"]:
            routes = self._store.children("routes", "service", stored["service"]["id"])
            why = "must match the protocols of at least one route pointing to this Plugin's service"
        else:
            return
        wanted = set(stored["protocols"])
        if routes and not any(wanted & set(route["protocols"]) for route in routes):
            raise Conflict(schema_violation({"protocols": why}))

    def _delete(self, place: Place) -> Answer:
        found = self._resources.found(place)
        if found:
            self._removable(place.schema.name, found["id"])
            self._remove(place.schema.name, found["id"])
        return NO_CONTENT

    def _removable(self, kind: str, ident: str) -> None:
        for child, key in self._store.catalogue.children[kind].items():
            cascades = self._store.catalogue.entities[child].fields[key].get("on_delete")
            if not cascades and self._store.children(child, key, ident):
                text = f"an existing '{child}' entity references this '{kind}' entity"
                raise Conflict(failure(4, text, fields={"@referenced_by": child}))

    def _remove(self, kind: str, ident: str) -> None:
        for child, key in self._store.catalogue.children[kind].items():
            for one in self._store.children(child, key, ident):
                self._remove(child, one["id"])
        del self._store.of(kind)[ident]
