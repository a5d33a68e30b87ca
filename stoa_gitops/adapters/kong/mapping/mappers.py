"""Compiles APIs and applications to Kong's entities, decompiles entities, and lists them. Pure.

`decompile(compile(x)) == x` holds for all that Kong can hold; what is read is compiled again and
compared, and the difference is reported as unmapped fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stoa_gitops.adapter_sdk.contract import ListItem, list_item
from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.kong.entities.defaults import strip_defaults
from stoa_gitops.adapters.kong.entities.entity import (
    ApiParts,
    ApplicationParts,
    Entity,
    JsonTree,
    NodeInfo,
)
from stoa_gitops.adapters.kong.entities.tags import (
    INCOMPLETE_TAG,
    UNMAPPED,
    entity_name,
    fingerprint,
    has_owner_tag,
    mark_loss,
    object_key,
    owner_tag,
)
from stoa_gitops.adapters.kong.mapping.backend_auth import PLUGIN as TRANSFORMER
from stoa_gitops.adapters.kong.mapping.backend_auth import read_auth
from stoa_gitops.adapters.kong.mapping.combinations import losses_of_pairs
from stoa_gitops.adapters.kong.mapping.consumers import compile_application, decompile_application
from stoa_gitops.adapters.kong.mapping.grouping import ApiEntities, group_api_entities
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.plugins import (
    INACTIVE,
    compile_inactive,
    compile_plugins,
    further_methods,
    plugin_id,
    plugins_of,
    read_policies,
)
from stoa_gitops.adapters.kong.mapping.routes import compile_routes, read_routes
from stoa_gitops.adapters.kong.mapping.rules import (
    api_losses,
    policy_losses,
    stored_spec,
)
from stoa_gitops.adapters.kong.mapping.services import (
    SUBSCRIBED_TAG,
    compile_backend,
    read_backend,
    read_plans,
)
from stoa_gitops.adapters.kong.mapping.unmapped_fields import (
    HIDDEN,
    UnmappedFields,
    find_unmapped_fields,
)
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Value, withheld

__all__ = [
    "Inexpressible", "UnmappedFields", "api_items", "application_item", "compile_api",
    "compile_application",
    "decompile_api", "decompile_application", "object_key", "owner_tag", "plugins_of",
    "stored_spec",
    "strip_defaults",
]  # fmt: skip


def compile_api(parts: ApiParts, node: NodeInfo, owner: str) -> tuple[Entity, ...]:
    """Return the entities of an API with its policies.

    Raises Inexpressible where Kong cannot hold what is asked for (what it can hold in part is
    written in part), SecretUnresolved for a backend's credential without a value.
    """
    _refuse(parts, node)
    return tuple(_entities(parts, node, owner))


def _refuse(parts: ApiParts, node: NodeInfo) -> None:
    api: Any = parts.api
    if api is not None and "auth" in api["backend"] and api["backend"]["auth"]["value"] is None:
        auth = api["backend"]["auth"]
        which = f"{auth['in']} {auth['name']}"
        raise SecretUnresolved(
            f"{parts.key}: the credential for the backend ({which}) leads nowhere"
        )
    message = [loss.message for loss in _losses(parts, node) if not loss.is_partial]
    if message:
        raise Inexpressible("; ".join(message))


def _losses(parts: ApiParts, node: NodeInfo) -> Iterator[Loss]:
    api: Any = parts.api
    if api is not None:
        yield from api_losses(api, node)
    yield from losses_of_pairs(api, parts.policies)
    for policy_type, config in parts.policies.items():
        yield from policy_losses(policy_type, config, node)


def _entities(parts: ApiParts, node: NodeInfo, owner: str) -> list[Entity]:
    api: Any = parts.api
    out = compile_backend(parts, owner)
    if api is not None:
        routes = compile_routes(parts, further_methods(parts.policies), node, owner)
        out += routes
        if not api["active"]:
            out += compile_inactive(parts, [route.id for route in routes], node, owner)
    return out + compile_plugins(parts, node, owner)


def decompile_api(
    entities: Sequence[Entity], node: NodeInfo, owner: str, key: Key
) -> tuple[ApiParts, UnmappedFields]:
    """Return the API that entities stand for, ours or foreign, and its unmapped fields.

    Never raises on content: what cannot be read is an API of which nothing is known but its id.
    """

    def unknown(reason: str) -> tuple[ApiParts, UnmappedFields]:
        services = (entity.id for entity in entities if entity.type == "services")
        parts = ApiParts(key, next(services, key.identifier(owner)), None)
        return parts, {API: {UNREADABLE: reason}}

    return read_guarded(str(key), lambda: _decompile(entities, node, owner, key), unknown)


def _decompile(
    entities: Sequence[Entity], node: NodeInfo, owner: str, key: Key
) -> tuple[ApiParts, UnmappedFields]:
    found = group_api_entities(entities, node, owner)
    parts, origins = _read(found, owner, key)
    try:
        rebuilt = _entities(parts, node, owner)
    except Inexpressible as error:
        return parts, {API: {UNREADABLE: str(error)}}
    # Nearly always: what we wrote is what is there, so no field needs to be compared.
    if {entity.text for entity in rebuilt} == {entity.text for entity in entities}:
        return parts, {}
    written = group_api_entities(rebuilt, node, owner)
    left = find_unmapped_fields(found, written, origins, parts.policies, node)
    name = (found.service or {}).get("name")
    if name != entity_name(key) and has_owner_tag(found.service or {}, owner):
        left.setdefault(API, {})["service.name"] = name
    unmarked = mark_loss(found.service or {}, owner, key.identifier(owner))
    if unmarked:
        left.setdefault(API, {})["service.tags"] = unmarked
    print_drift = _credential_drift(found)
    if print_drift:
        left.setdefault(API, {})["backend.auth"] = print_drift
    return parts, left


def _read(found: ApiEntities, owner: str, key: Key) -> tuple[ApiParts, list[JsonTree]]:
    service, kept = found.service, _adopted_plugin_ids(found, owner, key)
    transformer = found.plugins.get(TRANSFORMER)
    auth = read_auth(transformer) if transformer else None
    policies = read_policies(found, auth[0] if auth else None, owner)
    if service is None or INCOMPLETE_TAG in (service.get("tags") or ()):
        identifier = service["id"] if service else key.identifier(owner)
        return ApiParts(key, identifier, None, policies, kept), []
    pairs = read_routes(found.routes)
    backend: dict[str, Value] = read_backend(found, service, policies)
    if auth is not None:
        backend["auth"] = auth[0]
    closed = [INACTIVE in found.on_routes.get(tree["id"], {}) for _, tree in pairs]
    api: dict[str, Value] = {
        "active": not (closed and all(closed)) and not _is_switched_off(service, owner),
        "backend": backend,
        "routes": [route for route, _ in pairs],
        "plans": read_plans(service),
    }
    if SUBSCRIBED_TAG in (service.get("tags") or ()):
        api["access"] = "subscribed"
    return ApiParts(key, service["id"], api, policies, kept), [tree for _, tree in pairs]


def _is_switched_off(service: JsonTree, owner: str) -> bool:
    """Whether somebody else keeps a service switched off: adopting it must not switch it on."""
    return service.get("enabled") is False and not has_owner_tag(service, owner)


def _adopted_plugin_ids(found: ApiEntities, owner: str, key: Key) -> dict[str, str]:
    """Return the ids of our plugins that are not derived by us: those that were adopted."""
    return {
        name: tree["id"]
        for name, tree in found.plugins.items()
        if has_owner_tag(tree, owner) and tree["id"] != plugin_id(key, name, owner)
    }


def _credential_drift(found: ApiEntities) -> str:
    """Return HIDDEN where a backend's credential is not the one that was written, else nothing."""
    read: Any = read_auth(found.plugins.get(TRANSFORMER, {}))
    if read is None or fingerprint(read[0]["value"].reveal()) == read[1]:
        return ""
    return HIDDEN


def api_items(parts: ApiParts, unmapped: UnmappedFields, *, managed: bool) -> list[ListItem]:
    """Return the items of an API in `list_apis` and of its policies in `list_policies`."""
    items = []
    if parts.api is None and UNREADABLE in unmapped.get(API, {}):
        left = unmapped[API]
        items.append(_item(parts.key, {}, left, parts.service_id, managed=managed))
    if parts.api is not None:
        spec = {name: withheld(item) for name, item in parts.api.items()}
        items.append(_item(parts.key, spec, unmapped.get(API), parts.service_id, managed=managed))
    for policy_type, config in sorted(parts.policies.items()):
        key = parts.key.policy(policy_type)
        spec = {"api": parts.key.name, "type": policy_type, "config": config}
        gateway_id = f"{parts.service_id}/{policy_type}"
        items.append(_item(key, spec, unmapped.get(policy_type), gateway_id, managed=managed))
    return items


def application_item(
    parts: ApplicationParts, unmapped: UnmappedFields, *, managed: bool
) -> ListItem:
    """Return the item of an application in `list_applications`."""
    spec = {name: withheld(item) for name, item in parts.value.items()}
    left = unmapped.get(APPLICATION)
    return _item(parts.key, spec, left, parts.consumer_id, managed=managed)


def _item(
    key: Key, spec: Mapping[str, Any], left: JsonObject | None, gateway_id: str, *, managed: bool
) -> ListItem:
    return list_item(key, {**spec, UNMAPPED: left or None}, gateway_id, managed=managed)
