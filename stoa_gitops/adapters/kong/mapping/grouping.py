"""Sorts the entities of one API or application by their role. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.defaults import strip_defaults
from stoa_gitops.adapters.kong.entities.entity import Entity, JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import has_owner_tag, tag_values

_decode: Final = json.JSONDecoder().decode


@dataclass(slots=True)
class ApiEntities:
    """Entities of an API.

    plugins    those of the service, by name
    on_routes  id of a route -> its plugins by name
    doubled    plugins of the service whose name another one has, too, or that others switched off
    """

    service: JsonTree | None = None
    upstream: JsonTree | None = None
    targets: list[JsonTree] = field(default_factory=list)
    routes: list[JsonTree] = field(default_factory=list)
    plugins: dict[str, JsonTree] = field(default_factory=dict)
    on_routes: dict[str, dict[str, JsonTree]] = field(default_factory=dict)
    doubled: list[JsonTree] = field(default_factory=list)

    def put_plugin(self, tree: JsonTree) -> None:
        """Add a plugin; one of a consumer belongs to an application."""
        if tree.get("consumer"):
            return
        route = tree.get("route")
        if route:
            self.on_routes.setdefault(route["id"], {})[tree["name"]] = tree
        elif tree["name"] in self.plugins:
            self.doubled.append(tree)
        else:
            self.plugins[tree["name"]] = tree


@dataclass(slots=True)
class ConsumerEntities:
    """Entities of an application; by service id `limits` are its rate-limiting plugins, and
    `closed` those that answer where a subscription has ended.
    """

    consumer: JsonTree | None = None
    keys: list[JsonTree] = field(default_factory=list)
    jwts: list[JsonTree] = field(default_factory=list)
    acls: list[JsonTree] = field(default_factory=list)
    limits: dict[str, JsonTree] = field(default_factory=dict)
    closed: dict[str, JsonTree] = field(default_factory=dict)
    plugins: list[JsonTree] = field(default_factory=list)


def trees_of(entities: Iterable[Entity], node: NodeInfo) -> Iterator[tuple[str, JsonTree]]:
    """Yield type and sparse tree of each entity."""
    for entity in entities:
        tree: JsonTree = _decode(entity.text.decode("utf-8", "surrogatepass"))
        # Sparse entities have neither nulls nor times: most are spared a pass over their fields.
        if b"null" in entity.text or b'"created_at"' in entity.text:
            tree = strip_defaults(entity.type, tree, node)
        yield entity.type, tree


def group_api_entities(entities: Sequence[Entity], node: NodeInfo, owner: str) -> ApiEntities:
    """Sort the entities of an API. On a service of ours only what has our mark is ours."""
    found = ApiEntities()
    trees = _with_owner_tag(trees_of(entities, node), "services", owner)
    for entity_type, tree in trees:
        match entity_type:
            case "services":
                found.service = tree
            case "routes":
                found.routes.append(tree)
            case "upstreams":
                found.upstream = tree
            case "targets":
                found.targets.append(tree)
            case "plugins" if _is_switched_off(tree, owner):
                found.doubled.append(tree)
            case "plugins":
                found.put_plugin(tree)
    return found


def _is_switched_off(tree: JsonTree, owner: str) -> bool:
    """Whether somebody else keeps a plugin of a service without using it: no policy stands for it.

    Read as one, it would be switched on by adopting it.
    """
    is_on_service = not tree.get("consumer") and not tree.get("route")
    return is_on_service and tree.get("enabled") is False and not has_owner_tag(tree, owner)


def group_consumer_entities(
    entities: Sequence[Entity], node: NodeInfo, owner: str
) -> ConsumerEntities:
    """Sort the entities of an application. On a consumer of ours only what has our mark is ours."""
    found = ConsumerEntities()
    for entity_type, tree in _with_owner_tag(trees_of(entities, node), "consumers", owner):
        match entity_type:
            case "consumers":
                found.consumer = tree
            case "keyauth_credentials":
                found.keys.append(tree)
            case "jwt_secrets":
                found.jwts.append(tree)
            case "acls":
                found.acls.append(tree)
            case "plugins":
                _put_consumer_plugin(found, tree)
    return found


def _put_consumer_plugin(found: ConsumerEntities, tree: JsonTree) -> None:
    service: Mapping[str, Any] = tree.get("service") or {}
    if tree["name"] == "rate-limiting" and "id" in service and not tree.get("route"):
        found.limits[service["id"]] = tree
    elif "id" in service and not tree.get("route") and any(tag_values(tree, "ended")):
        found.closed[service["id"]] = tree
    else:
        found.plugins.append(tree)


def _with_owner_tag(
    trees: Iterable[tuple[str, JsonTree]], root: str, owner: str
) -> list[tuple[str, JsonTree]]:
    listed = list(trees)
    if any(kind == root and has_owner_tag(tree, owner) for kind, tree in listed):
        return [(kind, tree) for kind, tree in listed if has_owner_tag(tree, owner)]
    return listed
