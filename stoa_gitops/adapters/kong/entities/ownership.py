"""Groups entities by the service or consumer that they belong to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import ENTITY_ORDER, Entity
from stoa_gitops.adapters.kong.entities.tags import INCOMPLETE_TAG, upstream_name


def group_by_root(
    entities: Mapping[str, Mapping[str, Entity]],
) -> Mapping[tuple[str, str], list[Entity]]:
    """Return by (root type, root id) the entities below a service or consumer, ordered by type.

    An entity of both (a limit of one consumer at one service) belongs to the consumer; a plugin of
    a route belongs to the route's service, a target to the service whose host is its upstream.
    """
    found: dict[tuple[str, str], list[Entity]] = {}
    services: dict[str, str] = {}
    for entity_type in ENTITY_ORDER:
        for entity in entities.get(entity_type, {}).values():
            if entity_type in _ROOTS:
                continue
            tree = entity.tree
            consumer, service, route = (parent_id(tree, name) for name in _PARENTS)
            # ENTITY_ORDER has routes before plugins: a plugin of a route finds the route's
            # service here.
            if entity_type == "routes":
                services[entity.id] = service
            service = service or services.get(route, "")
            if consumer:
                found.setdefault(("consumers", consumer), []).append(entity)
            elif service:
                found.setdefault(("services", service), []).append(entity)
    _add_upstreams(entities, found)
    return found


_ROOTS: Final = ("services", "consumers", "upstreams", "targets")
_PARENTS: Final = ("consumer", "service", "route")


def parent_id(tree: Mapping[str, Any], name: str) -> str:
    """Return the id of an entity's parent by the field of the reference; empty without one."""
    parent = tree.get(name)
    return str(parent.get("id", "")) if isinstance(parent, dict) else ""


def _add_upstreams(
    entities: Mapping[str, Mapping[str, Entity]], found: dict[tuple[str, str], list[Entity]]
) -> None:
    names = {one.tree.get("name"): one for one in entities.get("upstreams", {}).values()}
    if not names:
        return
    targets: dict[str, list[Entity]] = {}
    for target in entities.get("targets", {}).values():
        targets.setdefault(parent_id(target.tree, "upstream"), []).append(target)
    for service in entities.get("services", {}).values():
        tree = service.tree
        upstream = names.get(tree.get("host"))
        if upstream is None and INCOMPLETE_TAG in (tree.get("tags") or ()):
            # An API of which only policies are written has no backend yet, so its service does not
            # have the upstream of its circuit breaker as host: found by its name.
            upstream = names.get(upstream_name(str(tree.get("name"))))
        if upstream is not None:
            family = found.setdefault(("services", service.id), [])
            family += [upstream, *targets.get(upstream.id, ())]
