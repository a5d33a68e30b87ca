"""Renders what a webMethods API Gateway would be sent, with references for secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.webmethods.entities.marks import Mark, fingerprint, localised
from stoa_gitops.adapters.webmethods.entities.parts import (
    ApiParts,
    ApplicationParts,
    GatewayInfo,
    JsonTree,
)
from stoa_gitops.adapters.webmethods.mapping.apis import (
    ApiContext,
    CompiledApi,
    compile_api,
)
from stoa_gitops.adapters.webmethods.mapping.applications import (
    claims_of,
    compile_application,
)
from stoa_gitops.adapters.webmethods.mapping.documents import load_document
from stoa_gitops.adapters.webmethods.mapping.gateway_objects import KINDS, compile_object
from stoa_gitops.adapters.webmethods.mapping.global_policies import (
    TENANT,
    actions_for,
    empty_policy,
    memory_of,
)
from stoa_gitops.adapters.webmethods.mapping.rules import stored_spec
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.kinds import CONFIG, GLOBAL_POLICY
from stoa_gitops.model.secret import Secret, Value

_INFO: Final = GatewayInfo()


def render_object(spec: ObjectSpec) -> Mapping[str, Value]:
    """Return the requests' bodies that one object becomes.

    Raises Inexpressible for what webMethods cannot hold.
    """
    if spec.key.kind == CONFIG:
        return dict(spec.value)
    if spec.key.kind == GLOBAL_POLICY:
        return _render_global(spec)
    if spec.key.kind in KINDS:
        prints = {fingerprint(text): f"print({text})" for text in _secrets(dict(spec.value))}
        found_object: dict[str, Value] = _with_prints(compile_object(spec), prints)
        return found_object
    value = stored_spec(spec.key.kind, spec.value)
    prints = {
        fingerprint(shape): f"print({text})"
        for text in _secrets(value)
        for shape in (text, claims_of(text))
    }
    found: Mapping[str, Value]
    if spec.key.kind == API:
        context = ApiContext(document=load_document(spec))
        compiled = compile_api(ApiParts(spec.key, value), _INFO, spec.owner, context)
        found = _shown(compiled, spec.owner)
    elif spec.key.kind == APPLICATION:
        found = compile_application(ApplicationParts(spec.key, value), spec.owner)
    else:
        found = _render_policy(Key(API, spec.key.tenant, str(value["api"])), value, spec.owner)
    shown: dict[str, Value] = _with_prints(found, prints)
    return shown


def _shown(compiled: CompiledApi, owner: str) -> JsonTree:
    mark = Mark(owner, compiled.key).text
    return {
        "api": compiled.body,
        "isActive": compiled.active,
        "policy": {"descriptions": compiled.memory},
        "policyActions": [
            {"stage": action.stage, **action.body(mark)["policyAction"]}
            for action in compiled.actions
        ],
        "alias": list(compiled.aliases.values()),
        "urlAliases": dict(compiled.url_aliases),
    }


def _render_policy(api: Key, value: Mapping[str, Any], owner: str) -> JsonTree:
    """Return what a policy adds to its API."""
    policies = {str(value["type"]): value["config"]}
    compiled = compile_api(ApiParts(api, None, policies), _INFO, owner)
    without = compile_api(ApiParts(api, None), _INFO, owner)
    shown = _shown(compiled, owner)
    known = [action.template for action in without.actions]
    actions = [one for one in shown["policyActions"] if one["templateKey"] not in known]
    return {"policyActions": actions, "alias": shown["alias"]}


def _render_global(spec: ObjectSpec) -> JsonTree:
    value: Any = spec.value
    mark = Mark(spec.owner, spec.key, (("kind", GLOBAL_POLICY),)).text
    described = localised(memory_of(spec.key, spec.owner, value))
    policy = empty_policy(spec.key, spec.owner, str(value[TENANT]))
    return {
        "policy": {**policy, "active": True, "descriptions": described},
        "policyActions": [
            {"stage": action.stage, **action.body(mark)["policyAction"]}
            for action in actions_for(value, _INFO)
        ],
    }


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
