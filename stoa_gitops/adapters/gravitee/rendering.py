"""Renders what the newest tested Gravitee would be sent, with references for secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.gravitee.entities.parts import ApiParts, ApplicationParts, GatewayInfo
from stoa_gitops.adapters.gravitee.mapping.apis import compile_api
from stoa_gitops.adapters.gravitee.mapping.applications import compile_application
from stoa_gitops.adapters.gravitee.mapping.rules import METHOD_PLUGIN, stored_spec
from stoa_gitops.adapters.gravitee.policies import MAPPINGS
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.secret import Value

_NEWEST: Final = GatewayInfo(
    version="4.12 or later",
    policies=frozenset(
        {METHOD_PLUGIN, *(plugin for mapping in MAPPINGS.values() for plugin in mapping.plugins)}
    ),
    key_fields=frozenset(),
)


def render_object(spec: ObjectSpec) -> Mapping[str, Value]:
    """Return the part of a definition, or the application, that one object becomes.

    Raises Inexpressible for what Gravitee cannot hold.
    """
    value = stored_spec(spec.key.kind, spec.value)
    if spec.key.kind == API:
        return compile_api(ApiParts(spec.key, value), _NEWEST, spec.owner)
    if spec.key.kind == APPLICATION:
        return compile_application(ApplicationParts(spec.key, value), spec.owner)
    return _render_policy(Key(API, spec.key.tenant, str(value["api"])), value, spec)


def _render_policy(api: Key, value: Mapping[str, Any], spec: ObjectSpec) -> Mapping[str, Value]:
    """Return what a policy adds to the definition of its API."""
    assert spec.key.kind == POLICY
    policies = {str(value["type"]): value["config"]}
    with_policy = compile_api(ApiParts(api, None, policies), _NEWEST, spec.owner)
    without: dict[str, Any] = compile_api(ApiParts(api, None), _NEWEST, spec.owner)
    found = {}
    for name, item in with_policy.items():
        other = without.get(name)
        if item == other:
            continue
        is_list = isinstance(item, list) and isinstance(other, list)
        found[name] = [one for one in item if one not in other] if is_list else item  # type: ignore[operator]
    return found
