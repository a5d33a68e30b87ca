"""What the newest Kong that we know would be sent for one object, with references where secrets go. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.kong.api.options import options_of
from stoa_gitops.adapters.kong.entities.entity import ApiParts, ApplicationParts, Entity, Node
from stoa_gitops.adapters.kong.entities.tags import INCOMPLETE, fingerprint
from stoa_gitops.adapters.kong.mapping.credentials import token_print
from stoa_gitops.adapters.kong.mapping.mappers import compile_api, compile_application
from stoa_gitops.adapters.kong.mapping.rules import held
from stoa_gitops.adapters.kong.node.edit import PendingChange, edited
from stoa_gitops.adapters.kong.node.snapshot import ForeignEntities, NodeSnapshot, positions
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.secret import Secret, Value

_NEWEST: Final = Node((3, 9, 1), frozenset())
_ON_SERVICES: Final = frozenset({"id", "retries", "tags"})
"""What a policy says of a service, whose other fields are its API's."""


def rendered(spec: ObjectSpec) -> Mapping[str, Value]:
    """Return the entities that one object becomes, by type.

    What depends on other objects is left out: the limits of an application's plans, and how a limit of the API and
    one of a plan go together. Raises Inexpressible for what Kong cannot hold.
    """
    value = held(spec.key.kind, spec.value)
    secrets = dict(_prints(value)) | dict(_token_prints(value))
    out: dict[str, list[Any]] = {}
    for entity in _entities(spec, value):
        tree = _shown(entity.tree, secrets)
        if spec.key.kind == POLICY and entity.type == "services":
            tree = {name: item for name, item in tree.items() if name in _ON_SERVICES}
            tree["tags"].remove(INCOMPLETE)
            if len(tree["tags"]) == 1:
                continue
        out.setdefault(entity.type, []).append(tree)
    return out


def whole(specs: Sequence[ObjectSpec], instance: GatewayInstance) -> Mapping[str, Value]:
    """Return the declarative document that all objects of a gateway become on an empty node.

    What cannot be written is left out, as it would be; each object's own file says why.
    """
    owner = specs[0].owner if specs else "default"
    node = replace(_NEWEST, options=options_of(instance.options))
    edit = edited(
        NodeSnapshot(node, owner, {}, ForeignEntities({})),
        [PendingChange(spec.key, spec) for spec in specs],
    )
    secrets: dict[str, str] = {}
    for spec in specs:
        value = held(spec.key.kind, spec.value)
        secrets |= dict(_prints(value)) | dict(_token_prints(value))
    out: dict[str, Any] = {"_format_version": "3.0", "_transform": False}
    for entity_type, entities in positions(edit.units.values(), edit.foreign).items():
        out[entity_type] = [_shown(entity.tree, secrets) for entity in entities]
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


def _prints(value: Value) -> Iterator[tuple[str, str]]:
    """Yield the text of each secret with its print: a print of a reference would say nothing."""
    if isinstance(value, Secret):
        yield value.reveal(), fingerprint(value.reveal())
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _prints(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _prints(item)


def _token_prints(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for credential in value.get("credentials", ()):
        if credential["type"] == "jwt":
            issuer, key = (credential[name].reveal() for name in ("clientId", "key"))
            yield f"{issuer} {key}", fingerprint(token_print(issuer, key))


def _shown(tree: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return an entity in which a Secret stands wherever a text ends with the value of one."""

    def text(value: str) -> Value:
        for secret, printed in secrets.items():
            if value.endswith(f":{printed}"):
                return f"{value.removesuffix(printed)}print({secret})"
            if value == secret or value.endswith(f":{secret}"):
                return Secret(value)
        return value

    return {name: _walked(item, text) for name, item in tree.items()}


def _walked(value: Any, text: Callable[[str], Value]) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {name: _walked(item, text) for name, item in value.items()}
    if isinstance(value, list):
        return [_walked(item, text) for item in value]
    return value
