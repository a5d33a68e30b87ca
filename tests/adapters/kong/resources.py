"""Addresses of the Admin API: which collection or entity a path means, and reading it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.adapters.kong.answers import NOT_FOUND, Answer, message
from tests.adapters.kong.listing import WORKSPACE, Lister, Query
from tests.adapters.kong.node import NODE_ID
from tests.adapters.kong.schemas import Entity, EntitySchema
from tests.adapters.kong.store import Store


@dataclass(frozen=True)
class Place:
    """A collection (`ident` None) or one entity; `owner` is (foreign key, parent) of a nested one.

    `source` is the child whose parent is addressed (`/routes/r/service`): (child, its foreign key).
    """

    schema: EntitySchema
    ident: str | None = None
    owner: tuple[str, Entity] | None = None
    source: tuple[Entity, str] | None = None

    @property
    def owner_id(self) -> tuple[str, str] | None:
        return (self.owner[0], self.owner[1]["id"]) if self.owner else None


class Resources:
    def __init__(self, store: Store, lister: Lister) -> None:
        self._store = store
        self._lister = lister

    def locate(self, path: str) -> Place | None:
        """None when no such address exists, or when the parent of a nested one is missing."""
        parts = path.strip("/").split("/")
        schema = self._store.catalogue.by_endpoint.get(parts[0])
        if schema is None or len(parts) > 4:
            return None
        if len(parts) < 3:
            return Place(schema, parts[1] if len(parts) > 1 else None)
        parent = self._store.find(schema, parts[1], None)
        if parent is None:
            return None
        for child, key in self._store.catalogue.children[schema.name].items():
            kind = self._store.catalogue.entities[child]
            if kind.nested.get(schema.name) == parts[2]:
                return Place(kind, parts[3] if len(parts) > 3 else None, (key, parent))
        if parts[2] in schema.foreign and len(parts) == 3:
            above = self._store.catalogue.entities[schema.foreign[parts[2]]]
            ident = (parent[parts[2]] or {}).get("id", "")
            return Place(above, ident, source=(parent, parts[2]))
        return None

    def found(self, place: Place) -> Entity | None:
        ident = place.ident or ""
        return self._store.find(place.schema, ident, place.owner_id)

    def get(self, path: str, query: Query) -> Answer | None:
        """None for addresses that are no entities."""
        special = self._upstream(path)
        if special:
            return special
        place = self.locate(path)
        if place is None:
            return None
        if place.ident is not None:
            entity = self.found(place)
            return Answer(200, self._store.shown(place.schema, entity)) if entity else NOT_FOUND
        if place.owner:
            return self._children(place, path, query)
        if place.schema.name == "consumers" and "custom_id" in query:
            return self._by_custom_id(query["custom_id"])
        return self._shown(place.schema, self._lister.top(place.schema.name, path, query))

    def _children(self, place: Place, path: str, query: Query) -> Answer:
        assert place.owner is not None
        key, parent = place.owner
        items = self._store.children(place.schema.name, key, parent["id"])
        if place.schema.name == "targets":
            items = sorted(items, key=lambda one: str(one["id"]), reverse=True)
        scope = f"{place.schema.name}|{WORKSPACE}|{key}|{parent['id']}|"
        return self._shown(place.schema, self._lister.nested(items, scope, path, query))

    def _shown(self, schema: EntitySchema, answer: Answer) -> Answer:
        data = [self._store.shown(schema, one) for one in answer.body["data"]]
        return Answer(answer.status, {**answer.body, "data": data})

    def _by_custom_id(self, value: str) -> Answer:
        if not value:
            return message(400, "custom_id must be an unempty string")
        found = self._store.find_by("consumers", {"custom_id": value})
        return Answer(200, {"data": [found] if found else [], "next": None})

    def _upstream(self, path: str) -> Answer | None:
        parts = path.strip("/").split("/")
        if len(parts) < 3 or parts[0] != "upstreams":
            return None
        upstream = self._store.find(self._store.catalogue.entities["upstreams"], parts[1], None)
        if upstream is None:
            return None
        targets = [
            self._store.shown(self._store.catalogue.entities["targets"], one)
            for one in self._store.children("targets", "upstream", upstream["id"])
        ]
        if parts[2:] == ["targets", "all"]:
            return Answer(200, {"data": targets, "next": None})
        if parts[2:] == ["health"]:
            targets.sort(key=lambda one: str(one["id"]), reverse=True)
            data = [_health(one, has_health_checks(upstream)) for one in targets]
            return Answer(200, {"data": data, "next": None, "node_id": NODE_ID})
        return None


def has_health_checks(upstream: Entity) -> bool:
    checks = upstream["healthchecks"]
    active = (checks["active"]["healthy"]["interval"], checks["active"]["unhealthy"]["interval"])
    passive = checks["passive"]["unhealthy"]
    return any(active) or any(passive[n] for n in ("tcp_failures", "timeouts", "http_failures"))


def _health(target: Entity, is_checked: bool) -> Entity:
    health = "HEALTHY" if is_checked else "HEALTHCHECKS_OFF"
    host, port = target["target"].rsplit(":", 1)
    weight = target["weight"]
    address = {"ip": host, "port": int(port), "weight": weight, "health": health}
    data = {
        "host": host, "port": int(port), "dns": "A", "nodeWeight": weight, "addresses": [address],
        "weight": {"total": weight, "available": weight, "unavailable": 0},
    }  # fmt: skip
    return {**target, "health": health, "data": data}
