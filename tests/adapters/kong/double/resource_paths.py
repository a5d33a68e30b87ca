"""Addresses of the Admin API: which collection or entity a path means, and reading it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.adapters.kong.double.node_info import NODE_ID
from tests.adapters.kong.double.pagination import WORKSPACE, Paginator, Query
from tests.adapters.kong.double.responses import NOT_FOUND, Response, message
from tests.adapters.kong.double.schema import Entity, EntitySchema
from tests.adapters.kong.double.store import Store


@dataclass(frozen=True)
class ResourcePath:
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


class ResourceResolver:
    def __init__(self, store: Store, lister: Paginator) -> None:
        self._store = store
        self._paginator = lister

    def locate(self, path: str) -> ResourcePath | None:
        """None when no such address exists, or when the parent of a nested one is missing."""
        parts = path.strip("/").split("/")
        schema = self._store.schemas.by_endpoint.get(parts[0])
        if schema is None or len(parts) > 4 or not self._store.schemas.is_served(schema.name):
            return None
        if len(parts) < 3:
            return ResourcePath(schema, parts[1] if len(parts) > 1 else None)
        parent = self._store.find(schema, parts[1], None)
        if parent is None:
            return None
        for child, key in self._store.schemas.children[schema.name].items():
            kind = self._store.schemas.entities[child]
            if kind.nested.get(schema.name) == parts[2] and self._store.schemas.is_served(child):
                return ResourcePath(kind, parts[3] if len(parts) > 3 else None, (key, parent))
        if parts[2] in schema.foreign and len(parts) == 3:
            above = self._store.schemas.entities[schema.foreign[parts[2]]]
            ident = (parent[parts[2]] or {}).get("id", "")
            return ResourcePath(above, ident, source=(parent, parts[2]))
        return None

    def found(self, resource: ResourcePath) -> Entity | None:
        ident = resource.ident or ""
        return self._store.find(resource.schema, ident, resource.owner_id)

    def get(self, path: str, query: Query) -> Response | None:
        """None for addresses that are no entities."""
        special = self._upstream(path, query)
        if special:
            return special
        resource = self.locate(path)
        if resource is None:
            return None
        if resource.ident is not None:
            entity = None if self._hides(resource) else self.found(resource)
            return (
                Response(200, self._store.with_shown_fields(resource.schema, entity))
                if entity
                else NOT_FOUND
            )
        if resource.owner:
            return self._children(resource, path, query)
        if resource.schema.name == "consumers" and "custom_id" in query:
            return self._by_custom_id(query["custom_id"])
        return self._shown(
            resource.schema, self._paginator.list_collection(resource.schema.name, path, query)
        )

    def _hides(self, resource: ResourcePath) -> bool:
        """3.4.2 without a database finds no key by its id."""
        is_old = self._store.database == "off" and not self._store.schemas.is_at_least("3.5")
        return is_old and resource.schema.name == "keys"

    def _children(self, resource: ResourcePath, path: str, query: Query) -> Response:
        assert resource.owner is not None
        key, parent = resource.owner
        items = self._store.children(resource.schema.name, key, parent["id"])
        scope = f"{resource.schema.name}|{WORKSPACE}|{key}|{parent['id']}|"
        is_targets = resource.schema.name == "targets"
        page = self._paginator.list_targets if is_targets else self._paginator.list_nested
        return self._shown(resource.schema, page(items, scope, path, query))

    def _shown(self, schema: EntitySchema, answer: Response) -> Response:
        data = [self._store.with_shown_fields(schema, one) for one in answer.body["data"]]
        return Response(answer.status, {**answer.body, "data": data})

    def _by_custom_id(self, value: str) -> Response:
        if not value:
            return message(400, "custom_id must be an unempty string")
        found = self._store.find_by("consumers", {"custom_id": value})
        return Response(200, {"data": [found] if found else [], "next": None})

    def _upstream(self, path: str, query: Query) -> Response | None:
        parts = path.strip("/").split("/")
        if len(parts) < 3 or parts[0] != "upstreams":
            return None
        upstream = self._store.find(self._store.schemas.entities["upstreams"], parts[1], None)
        if upstream is None:
            return None
        schema = self._store.schemas.entities["targets"]
        items = self._store.children("targets", "upstream", upstream["id"])
        if parts[2:] == ["targets", "all"]:
            scope = f"targets|{WORKSPACE}|upstream|{upstream['id']}|"
            page = self._paginator.list_nested(items, scope, path, query, shows_offset=True)
            return self._shown(schema, page)
        targets = [self._store.with_shown_fields(schema, one) for one in items]
        if parts[2:] == ["health"]:
            targets.sort(key=lambda one: str(one["id"]), reverse=True)
            data = [_health(one, has_health_checks(upstream)) for one in targets]
            return Response(200, {"data": data, "next": None, "node_id": NODE_ID})
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
