"""Renders what the newest tested Gravitee would be sent, with references for secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.gravitee.entities.marks import fingerprint
from stoa_gitops.adapters.gravitee.entities.parts import ApiParts, ApplicationParts, GatewayInfo
from stoa_gitops.adapters.gravitee.mapping.apis import compile_api
from stoa_gitops.adapters.gravitee.mapping.applications import compile_application
from stoa_gitops.adapters.gravitee.mapping.rules import METHOD_PLUGIN, stored_spec
from stoa_gitops.adapters.gravitee.policies import MAPPINGS
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.secret import Secret, Value

_NEWEST: Final = GatewayInfo(
    version="4.12 or later",
    policies=frozenset(
        {METHOD_PLUGIN, *(plugin for mapping in MAPPINGS.values() for plugin in mapping.plugins)}
    ),
)


def render_object(spec: ObjectSpec) -> Mapping[str, Value]:
    """Return the part of a definition, or the application, that one object becomes.

    Raises Inexpressible for what Gravitee cannot hold.
    """
    value = stored_spec(spec.key.kind, spec.value)
    prints = {fingerprint(text): f"print({text})" for text in _secrets(value)}
    found: Mapping[str, Value]
    if spec.key.kind == API:
        found = compile_api(ApiParts(spec.key, value), _NEWEST, spec.owner)
    elif spec.key.kind == APPLICATION:
        found = compile_application(ApplicationParts(spec.key, value), spec.owner)
    else:
        found = _render_policy(Key(API, spec.key.tenant, str(value["api"])), value, spec)
    shown: dict[str, Value] = _with_prints(found, prints)
    return shown


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item)


def _with_prints(value: Any, prints: Mapping[str, str]) -> Any:
    """Return a tree in which a mark says whose print it is: that of a reference says nothing."""
    if isinstance(value, str):
        for printed, shown in prints.items():
            value = value.replace(printed, shown)
        return value
    if isinstance(value, Mapping):
        return {name: _with_prints(item, prints) for name, item in value.items()}
    return [_with_prints(item, prints) for item in value] if isinstance(value, list) else value


def _render_policy(api: Key, value: Mapping[str, Any], spec: ObjectSpec) -> Mapping[str, Value]:
    """Return what a policy adds to the definition of its API."""
    assert spec.key.kind == POLICY
    policies = {str(value["type"]): value["config"]}
    with_policy = compile_api(ApiParts(api, None, policies), _NEWEST, spec.owner)
    without: dict[str, Any] = compile_api(ApiParts(api, None), _NEWEST, spec.owner)
    return {
        name: _added(item, without.get(name))
        for name, item in with_policy.items()
        if item != without.get(name)
    }


def _added(value: Any, other: Any) -> Any:
    """Return what of a tree is not in another one."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return {n: _added(item, other.get(n)) for n, item in value.items() if item != other.get(n)}
    if isinstance(value, list) and isinstance(other, list):
        if len(value) == len(other):
            return [_added(one, two) for one, two in zip(value, other, strict=True) if one != two]
        return [item for item in value if item not in other]
    return value
