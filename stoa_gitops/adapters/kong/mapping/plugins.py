"""Compiles the policies of an API to the plugins of its service, and reads them back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.unreadable import read_guarded
from stoa_gitops.adapters.kong.entities.defaults import strip_config_defaults
from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import entity_name, owner_tag
from stoa_gitops.adapters.kong.mapping.backend_auth import add_credential
from stoa_gitops.adapters.kong.mapping.grouping import ApiEntities
from stoa_gitops.adapters.kong.mapping.plugin_mapping import (
    PluginConfigs,
    PluginMapping,
    ReadContext,
)
from stoa_gitops.adapters.kong.policies import MAPPINGS
from stoa_gitops.model.canonical import canonical_bytes
from stoa_gitops.model.keys import Key

INACTIVE: Final = "request-termination"
_INACTIVE_CONFIG: Final = {"message": "this API is not active"}


def _mappings_by_plugin() -> Mapping[str, tuple[PluginMapping, ...]]:
    found: dict[str, list[PluginMapping]] = {}
    for mapping in sorted(MAPPINGS.values(), key=lambda m: m.shared_rank):
        for plugin in mapping.plugins:
            found.setdefault(plugin, []).append(mapping)
    return {plugin: tuple(mappings) for plugin, mappings in found.items()}


_BY_PLUGIN: Final = _mappings_by_plugin()
_WITHOUT_PLUGIN: Final = [mapping for mapping in MAPPINGS.values() if not mapping.plugins]


def plugin_entity(
    name: str,
    config: Mapping[str, Any],
    identifier: str,
    scope: Mapping[str, str],
    tags: list[str],
    node: NodeInfo,
) -> Entity:
    """Return a plugin; `scope` is what it is bound to, by entity: `{"service": id}`."""
    tree: JsonTree = {"id": identifier, "name": name, "tags": tags}
    for where, parent in scope.items():
        tree[where] = {"id": parent}
    rest = strip_config_defaults(name, config, node)
    if rest:
        tree["config"] = rest
    return Entity.of("plugins", tree)


def compile_plugins(parts: ApiParts, node: NodeInfo, owner: str) -> list[Entity]:
    """Return the plugins of an API's service.

    Raises Inexpressible where policies do not fit together.
    """
    scope, own_tag = {"service": parts.service_id}, owner_tag(owner)
    return [
        plugin_entity(
            name,
            config,
            parts.plugin_ids.get(name) or plugin_id(parts.key, name, owner),
            scope,
            [own_tag, *tags],
            node,
        )
        for name, (config, tags) in _wanted(parts, node).items()
    ]


def plugin_id(key: Key, name: str, owner: str) -> str:
    """Return the id that a plugin of a service has where we made it."""
    return key.identifier(owner, f"plugin|{name}")


def _wanted(parts: ApiParts, node: NodeInfo) -> PluginConfigs:
    policies: Mapping[str, Any] = parts.policies
    api: Any = parts.api or {}
    wanted: PluginConfigs = {}
    for policy_type, config in policies.items():
        mapping = MAPPINGS.get(policy_type)
        if mapping is not None:
            wanted |= mapping.compile(config, policies, node)
    auth = api.get("backend", {}).get("auth")
    if auth is not None:
        add_credential(wanted, auth)
    if api.get("plans") or any(identifies(name) for name in policies):
        wanted["acl"] = {"allow": _groups(parts), "hide_groups_header": True}, []
    return wanted


def identifies(policy_type: str) -> bool:
    """Whether a policy says who a caller is, so that groups decide whom its API lets in."""
    mapping = MAPPINGS.get(policy_type)
    return mapping is not None and mapping.identifies


def _groups(parts: ApiParts) -> list[str]:
    api: Any = parts.api or {}
    name = entity_name(parts.key)
    plans = [f"{name}.{plan['name']}" for plan in api.get("plans", ())]
    if plans:
        return sorted(plans)
    # Without plans subscribers are let in and, where `access` does not say otherwise, everybody of
    # the tenant; `consumers` closes the API to those whose subscription has ended.
    return [name] if "access" in api else [parts.key.tenant, name]


def compile_inactive(
    parts: ApiParts, route_ids: list[str], node: NodeInfo, owner: str
) -> list[Entity]:
    """Return what closes each route of an API that is not active.

    On routes, because there it runs instead of the service's own, which a `mock` policy may use.
    """
    return [
        plugin_entity(
            INACTIVE,
            _INACTIVE_CONFIG,
            parts.key.identifier(owner, f"route|{index}|inactive"),
            {"route": route_id},
            [owner_tag(owner)],
            node,
        )
        for index, route_id in enumerate(route_ids)
    ]


def read_policies(
    entities: ApiEntities, auth: Mapping[str, Any] | None, owner: str
) -> dict[str, JsonTree]:
    """Return the policies that the entities of an API stand for."""
    context = ReadContext(entities, owner, auth)
    service = (entities.service or {}).get("name", "")
    found: dict[str, JsonTree] = {}
    # Only types whose plugins are there are asked: 10,000 APIs are read after each foreign write.
    candidates = [m for plugin in entities.plugins for m in _BY_PLUGIN.get(plugin, ())]
    for mapping in (*candidates, *_WITHOUT_PLUGIN):
        if mapping.policy_type not in found:
            # A plugin whose policy cannot be read counts as one that stands for none: it shows as
            # something beyond the API's document.
            config = read_guarded(
                f"the {mapping.policy_type} of service {service}",
                partial(_read_whole, mapping, context),
                _no_policy,
            )
            if config is not None:
                found[mapping.policy_type] = config
    return found


def further_methods(policies: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the methods that the routes of an API take for its policies, besides their own."""
    found = (MAPPINGS[name].route_methods for name in policies if name in MAPPINGS)
    return tuple(sorted({method for methods in found for method in methods}))


def _read_whole(mapping: PluginMapping, context: ReadContext) -> JsonTree | None:
    """Return a policy that can be written again; raises for one that cannot."""
    config = mapping.read(context)
    if config is not None:
        canonical_bytes(config)
        tuple(mapping.losses(config))
    return config


def _no_policy(_: str) -> None:
    return None


def policy_of_plugin(plugin: str, policies: Mapping[str, Any]) -> str | None:
    """Return the policy type that answers for a plugin; None where the API itself does."""
    types = (mapping.policy_type for mapping in _BY_PLUGIN.get(plugin, ()))
    return next((name for name in types if name in policies), None)


def plugins_replaced_by(policy_type: str) -> frozenset[str]:
    """Return the plugins that an adopted policy stands in for.

    Its own, and the groups of who is let in.
    """
    own = plugins_of(policy_type)
    return own | {"acl"} if identifies(policy_type) else own


def plugins_of(policy_type: str) -> frozenset[str]:
    """Return the plugins of a policy type; none for one on service or upstream."""
    mapping = MAPPINGS.get(policy_type)
    return frozenset(mapping.plugins) if mapping is not None else frozenset()


IDENTIFYING_PLUGINS: Final = frozenset(
    plugin for name in MAPPINGS if identifies(name) for plugin in plugins_of(name)
)
"""Plugins of those policies."""
