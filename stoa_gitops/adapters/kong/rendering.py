"""Renders what the newest tested Kong would be sent, with references for secrets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.kong.api.options import options_of
from stoa_gitops.adapters.kong.entities.entity import (
    ApiParts,
    ApplicationParts,
    Entity,
    JsonTree,
    NodeInfo,
)
from stoa_gitops.adapters.kong.entities.tags import INCOMPLETE_TAG, fingerprint
from stoa_gitops.adapters.kong.entities.versions import NEWEST_TESTED
from stoa_gitops.adapters.kong.mapping.credentials import token_fingerprint_input
from stoa_gitops.adapters.kong.mapping.mappers import compile_api, compile_application
from stoa_gitops.adapters.kong.mapping.rules import stored_spec
from stoa_gitops.adapters.kong.node.edit import PendingChange, apply_changes
from stoa_gitops.adapters.kong.node.snapshot import ForeignEntities, NodeSnapshot, entities_by_type
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.secret import Secret, Value

_NEWEST: Final = NodeInfo(NEWEST_TESTED, frozenset(), is_imagined=True)
_ON_SERVICES: Final = frozenset({"id", "retries", "tags"})
"""Fields of a service that a policy sets; the others are its API's."""


def render_object(spec: ObjectSpec) -> Mapping[str, Value]:
    """Return the entities that one object becomes, by type.

    What depends on other objects is left out: limits of an application's plans, and how a limit of
    the API and one of a plan combine. Raises Inexpressible for what Kong cannot hold.
    """
    value = stored_spec(spec.key.kind, spec.value)
    secrets = dict(_secret_prints(value)) | dict(_token_prints(value))
    out: dict[str, list[Any]] = {}
    for entity in _entities(spec, value):
        tree = _with_secrets(entity.tree, secrets)
        if spec.key.kind == POLICY and entity.type == "services":
            tree = {name: item for name, item in tree.items() if name in _ON_SERVICES}
            tree["tags"].remove(INCOMPLETE_TAG)
            # Nothing but the owner's tag is left: the policy is not on the service.
            if len(tree["tags"]) == 1:
                continue
        out.setdefault(entity.type, []).append(tree)
    return out


def render_document(specs: Sequence[ObjectSpec], instance: GatewayInstance) -> Mapping[str, Value]:
    """Return the declarative document of all objects of a gateway on an empty node.

    What cannot be written is left out, as it would be; each object's own file says why.
    """
    owner = specs[0].owner if specs else "default"
    node = replace(_NEWEST, options=options_of(instance.options))
    edit = apply_changes(
        NodeSnapshot(node, owner, {}, ForeignEntities({})),
        [PendingChange(spec.key, spec) for spec in specs],
    )
    secrets: dict[str, str] = {}
    for spec in specs:
        value = stored_spec(spec.key.kind, spec.value)
        secrets |= dict(_secret_prints(value)) | dict(_token_prints(value))
    out: JsonTree = {"_format_version": "3.0", "_transform": False}
    for entity_type, entities in entities_by_type(edit.groups.values(), edit.foreign).items():
        out[entity_type] = [_with_secrets(entity.tree, secrets) for entity in entities]
    return out


def _entities(spec: ObjectSpec, value: Mapping[str, Any]) -> Iterable[Entity]:
    key, owner = spec.key, spec.owner
    if key.kind == API:
        return compile_api(ApiParts(key, spec.identifier, value), _NEWEST, owner)
    if key.kind == POLICY:
        api = Key(API, key.tenant, value["api"])
        policies = {value["type"]: value["config"]}
        parts = ApiParts(api, api.identifier(owner), None, policies)
        return compile_api(parts, _NEWEST, owner)
    return compile_application(ApplicationParts(key, spec.identifier, value), {}, _NEWEST, owner)


def _secret_prints(value: Value) -> Iterator[tuple[str, str]]:
    """Yield the text of each secret with its print: a print of a reference would say nothing."""
    if isinstance(value, Secret):
        yield value.reveal(), fingerprint(value.reveal())
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secret_prints(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secret_prints(item)


def _token_prints(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for credential in value.get("credentials", ()):
        if credential["type"] == "jwt":
            issuer, key = (credential[name].reveal() for name in ("clientId", "key"))
            yield f"{issuer} {key}", fingerprint(token_fingerprint_input(issuer, key))


def _with_secrets(tree: Mapping[str, Any], secrets: Mapping[str, str]) -> JsonTree:
    """Return an entity with a Secret wherever a text ends with the value of one."""

    def text(value: str) -> Value:
        for secret, printed in secrets.items():
            if value.endswith(f":{printed}"):
                return f"{value.removesuffix(printed)}print({secret})"
            if value == secret or value.endswith(f":{secret}"):
                return Secret(value)
        return value

    return {name: _map_texts(item, text) for name, item in tree.items()}


def _map_texts(value: Any, text: Callable[[str], Value]) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {name: _map_texts(item, text) for name, item in value.items()}
    if isinstance(value, list):
        return [_map_texts(item, text) for item in value]
    return value
