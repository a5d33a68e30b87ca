"""Between what an API asks for and the plugins of its service. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.defaults import strip_config_defaults
from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import entity_name, owner_tag
from stoa_gitops.adapters.kong.policies.headers import (
    compile_request,
    compile_response,
    read_headers,
)
from stoa_gitops.adapters.kong.policies.logging import compile_logging, read_logging
from stoa_gitops.adapters.kong.policies.one_plugin import FORMS
from stoa_gitops.adapters.kong.policies.rate_limiting import compile_limits, read_limits
from stoa_gitops.model.keys import Key

Tree = dict[str, Any]

INACTIVE: Final = "request-termination"
_INACTIVE_CONFIG: Final = {"message": "this API is not active"}
_IDENTIFYING: Final = ("api_key", "jwt")
_BY_PLUGIN: Final = {form.plugin: name for name, form in FORMS.items()}
_SHARED: Final[Mapping[str, tuple[str, ...]]] = {
    "rate-limiting": ("rate_limit", "quota"),
    "request-transformer": ("headers",),
    "response-transformer": ("headers",),
    "http-log": ("logging",),
    "file-log": ("logging",),
}


def plugin_entity(
    name: str,
    config: Mapping[str, Any],
    identifier: str,
    scope: Mapping[str, str],
    tags: list[str],
    node: NodeInfo,
) -> Entity:
    """Return a plugin; `scope` is what it hangs on, by entity: `{"service": id}`."""
    tree: Tree = {"id": identifier, "name": name, "tags": tags}
    for where, parent in scope.items():
        tree[where] = {"id": parent}
    rest = strip_config_defaults(name, config, node)
    if rest:
        tree["config"] = rest
    return Entity.of("plugins", tree)


def compile_plugins(parts: ApiParts, node: NodeInfo, owner: str) -> list[Entity]:
    """Return the plugins of an API's service; raises Inexpressible where policies do not fit together."""
    scope, own_tag = {"service": parts.service_id}, owner_tag(owner)
    return [
        plugin_entity(
            name, config, parts.plugin_ids.get(name) or plugin_id(parts.key, name, owner), scope,
            [own_tag, *tags], node,
        )
        for name, (config, tags) in _wanted(parts, node).items()
    ]  # fmt: skip


def plugin_id(key: Key, name: str, owner: str) -> str:
    """Return the id that a plugin of a service has where we made it."""
    return key.identifier(owner, f"plugin|{name}")


def _wanted(parts: ApiParts, node: NodeInfo) -> dict[str, tuple[Mapping[str, Any], list[str]]]:
    policies: Mapping[str, Any] = parts.policies
    api: Any = parts.api or {}
    wanted: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for policy_type, config in policies.items():
        form = FORMS.get(policy_type)
        if form is not None:
            wanted[form.plugin] = form.write(config, node), []
    limits = compile_limits(policies, node)
    if limits is not None:
        wanted["rate-limiting"] = limits
    request = compile_request(policies.get("headers"), api.get("backend", {}).get("auth"))
    if request is not None:
        wanted["request-transformer"] = request
    response = compile_response(policies.get("headers"))
    if response is not None:
        wanted["response-transformer"] = response, []
    if "logging" in policies:
        wanted |= {name: (c, []) for name, c in compile_logging(policies["logging"]).items()}
    if api.get("plans") or any(name in policies for name in _IDENTIFYING):
        wanted["acl"] = {"allow": _groups(parts), "hide_groups_header": True}, []
    return wanted


def _groups(parts: ApiParts) -> list[str]:
    api: Any = parts.api or {}
    name = entity_name(parts.key)
    plans = [f"{name}.{plan['name']}" for plan in api.get("plans", ())]
    return sorted(plans) or [parts.key.tenant, name]


def compile_inactive(
    parts: ApiParts, route_ids: list[str], node: NodeInfo, owner: str
) -> list[Entity]:
    """Return what closes each route of an API that is not active.

    On routes, for there it runs instead of the service's own, which a `mock` policy may use.
    """
    return [
        plugin_entity(
            INACTIVE, _INACTIVE_CONFIG, parts.key.identifier(owner, f"route|{index}|inactive"),
            {"route": route_id}, [owner_tag(owner)], node,
        )
        for index, route_id in enumerate(route_ids)
    ]  # fmt: skip


def read_policies(
    plugins: Mapping[str, Tree], auth: Mapping[str, Any] | None, owner: str
) -> dict[str, dict[str, Any]]:
    """Return the policies that the plugins of a service stand for."""
    found: dict[str, dict[str, Any]] = {}
    for name, tree in plugins.items():
        policy_type = _BY_PLUGIN.get(name)
        if policy_type is not None:
            found[policy_type] = FORMS[policy_type].read(tree.get("config", {}))
    if "rate-limiting" in plugins:
        found |= read_limits(plugins["rate-limiting"])
    request, response = (plugins.get(f"{side}-transformer") for side in ("request", "response"))
    if request or response:
        headers = read_headers(request, response, auth, owner)
        if headers is not None:
            found["headers"] = headers
    logging = read_logging(plugins, owner)
    if logging is not None:
        found["logging"] = logging
    return found


def holder_of(plugin: str, policies: Mapping[str, Any]) -> str | None:
    """Return the policy type that answers for a plugin; None where the API itself does."""
    candidates = _SHARED.get(plugin) or (_BY_PLUGIN.get(plugin, ""),)
    return next((name for name in candidates if name in policies), None)


def replaced_by(policy_type: str) -> frozenset[str]:
    """Return the plugins that an adopted policy stands in for: its own, and the groups of who is let in."""
    own = plugins_of(policy_type)
    return own | {"acl"} if policy_type in _IDENTIFYING else own


def plugins_of(policy_type: str) -> frozenset[str]:
    """Return the plugins that a policy type is written with; none for one that is held by service or upstream."""
    form = FORMS.get(policy_type)
    if form is not None:
        return frozenset({form.plugin})
    return frozenset(name for name, types in _SHARED.items() if policy_type in types)
