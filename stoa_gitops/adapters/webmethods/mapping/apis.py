"""Compiles APIs to webMethods' objects, and reads what a gateway holds, ours and foreign. Pure.

What no field of the gateway says is kept in the memory of the API's policy; what is read is
compiled again and compared, and the difference is reported as unmapped fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.webmethods.entities.actions import (
    HIDDEN,
    STAGES,
    TRANSPORT,
    Action,
    leaf,
)
from stoa_gitops.adapters.webmethods.entities.held import (
    HeldApi,
    remembered_content,
    remembered_operations,
)
from stoa_gitops.adapters.webmethods.entities.marks import (
    INCOMPLETE,
    Mark,
    fingerprint,
    read_mark,
    read_memory,
    text_of,
    without_mark,
    write_memory,
)
from stoa_gitops.adapters.webmethods.entities.names import (
    api_name,
    backend_alias,
    runtime_path,
)
from stoa_gitops.adapters.webmethods.entities.parts import (
    ApiParts,
    Consumers,
    GatewayInfo,
    JsonTree,
)
from stoa_gitops.adapters.webmethods.mapping.access import access_actions
from stoa_gitops.adapters.webmethods.mapping.backends import (
    HEADER,
    ROUTE,
    STUB,
    credential_print,
    endpoint_alias,
    held_credential,
    read_target,
    routing_actions,
    seconds_of,
)
from stoa_gitops.adapters.webmethods.mapping.definitions import STUB_VERSION, make_definition
from stoa_gitops.adapters.webmethods.mapping.documents import ApiDocument
from stoa_gitops.adapters.webmethods.mapping.issuers import auth_server_alias
from stoa_gitops.adapters.webmethods.mapping.limits import plan_throttles
from stoa_gitops.adapters.webmethods.mapping.losses import Inexpressible
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import Place
from stoa_gitops.adapters.webmethods.mapping.routes import (
    Operations,
    methods_of,
    read_routes,
    url_aliases,
)
from stoa_gitops.adapters.webmethods.mapping.rules import api_losses, policy_losses
from stoa_gitops.adapters.webmethods.mapping.soap import is_soap, soap_version
from stoa_gitops.adapters.webmethods.mapping.unmapped_fields import (
    UnmappedFields,
    find_unmapped_fields,
)
from stoa_gitops.adapters.webmethods.policies import MAPPINGS
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import canonical_bytes, canonical_milliseconds
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.secret import Secret

PROTOCOL: Final = "entryProtocolPolicy"
_DEFINITION: Final = "definition"
_CONTENT: Final = "content"


@dataclass(frozen=True, slots=True)
class ApiContext:
    """What an API is compiled with, beside its own parts.

    consumers   subscribers of its plans
    name        that of an adopted API, which keeps it: callers know its path
    document    its OpenAPI document; None where nobody has it at hand
    operations  print of the operations of the document, as its memory has it
    content     print of the definition as the gateway stored it; empty where nobody saw it
    """

    consumers: Consumers = field(default_factory=dict)
    name: str = ""
    document: ApiDocument | None = None
    operations: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class CompiledApi:
    """All that one API with its policies becomes.

    body         of POST and PUT /apis; without `apiDefinition` where the document is not at hand
    actions      in the order in which requests meet them
    memory       description of the API's policy
    aliases      endpoint and authorization server aliases, by name
    url_aliases  alias -> path that it leads to
    operations   (path, method) of each that is served; None where the document is not at hand
    printed      print of the operations
    losses       what the document does not say any more, for people
    upload       a WSDL, which is imported as it is
    content      print of the definition as the gateway stored it; empty where nobody saw it
    """

    key: Key
    body: JsonTree
    active: bool
    actions: tuple[Action, ...]
    memory: str
    aliases: Mapping[str, JsonTree]
    url_aliases: Mapping[str, str]
    operations: Operations | None
    printed: str
    losses: tuple[str, ...] = ()
    upload: bytes = b""
    content: str = ""

    def stored_as(self, content: str) -> CompiledApi:
        """Return it with the print of the definition that the gateway made of the document."""
        memory = read_memory(self.memory) or {}
        memory.pop(_CONTENT, None)
        kept = {**memory, _CONTENT: content} if content else memory
        return replace(self, content=content, memory=write_memory(kept))

    @property
    def has_document(self) -> bool:
        """Whether what is imported is at hand: without it only policies change."""
        return bool(self.upload) or "apiDefinition" in self.body


def context_of(
    held: HeldApi, consumers: Consumers, document: ApiDocument | None = None
) -> ApiContext:
    """Return what an API is compiled with that the gateway holds."""
    return ApiContext(
        consumers, held.name, document, remembered_operations(held), remembered_content(held)
    )


def compile_api(
    parts: ApiParts, info: GatewayInfo, owner: str, context: ApiContext | None = None
) -> CompiledApi:
    """Return what an API with its policies becomes, secrets in it.

    Raises Inexpressible where webMethods cannot hold what is asked for (what it can hold in part is
    written in part), SecretUnresolved for a backend's credential without a value.
    """
    _refuse(parts, info)
    return _compile(parts, info, owner, context or ApiContext())


def _refuse(parts: ApiParts, info: GatewayInfo) -> None:
    api: Any = parts.api
    if api is not None and "auth" in api["backend"] and api["backend"]["auth"]["value"] is None:
        auth = api["backend"]["auth"]
        raise SecretUnresolved(
            f"{parts.key}: the credential for the backend ({auth['in']} {auth['name']}) leads "
            "nowhere"
        )
    found = list(api_losses(api, info)) if api is not None else []
    for policy_type, config in parts.policies.items():
        found += policy_losses(policy_type, config, info)
    whole = [loss.message for loss in found if not loss.is_partial]
    if whole:
        raise Inexpressible("; ".join(whole))


def _compile(parts: ApiParts, info: GatewayInfo, owner: str, context: ApiContext) -> CompiledApi:
    api: Any = parts.api
    key, options = parts.key, info.options
    name = context.name or api_name(key)
    version = str(api["version"]) if api is not None else STUB_VERSION
    definition, printed, operations, of_operations = make_definition(
        parts, info, context.document, context.operations
    )
    words = [(_DEFINITION, printed), *([(INCOMPLETE, "true")] if api is None else [])]
    mark = Mark(owner, key, tuple(words))
    text = str(api.get("description", "")) if api is not None else ""
    body: JsonTree = {
        "apiName": name,
        "apiVersion": version,
        "apiDescription": mark.below(text),
        "type": context.document.kind if context.document is not None else "openapi",
        **({"apiDefinition": definition} if definition is not None else {}),
        **({"maturityState": options.maturity} if options.maturity else {}),
    }
    return CompiledApi(
        key,
        body,
        bool(api["active"]) if api is not None else False,
        tuple(_actions(parts, info, context.consumers)),
        write_memory(_memory(parts, of_operations, context.content)),
        dict(_aliases(parts, Mark(owner, key).text)),
        url_aliases(api["routes"] if api is not None else (), runtime_path(name, version)),
        operations,
        of_operations,
        context.document.losses if context.document is not None else (),
        context.document.content if context.document is not None else b"",
        context.content,
    )


def _actions(parts: ApiParts, info: GatewayInfo, consumers: Consumers) -> list[Action]:
    api: Any = parts.api
    place = Place(info, parts.policies)
    found = [Action(TRANSPORT, PROTOCOL, (_protocols(info), *soap_version(api)), API)]
    found += access_actions(parts)
    for policy_type in sorted(parts.policies):
        found += MAPPINGS[policy_type].write(parts.policies[policy_type], place)
    found += routing_actions(parts.key, api)
    found += plan_throttles(api["plans"], consumers) if api is not None else []
    return sorted(found, key=lambda action: STAGES.index(action.stage))


def _protocols(info: GatewayInfo) -> JsonTree:
    return leaf("protocol", *info.options.protocols)


def _aliases(parts: ApiParts, mark: str) -> Iterator[tuple[str, JsonTree]]:
    if parts.api is not None:
        alias = endpoint_alias(parts.key, parts.api, mark)
        yield alias["name"], alias
    if "jwt" in parts.policies:
        alias = auth_server_alias(parts.key, parts.policies["jwt"], mark)
        yield alias["name"], alias


def _memory(parts: ApiParts, operations: str, content: str) -> JsonTree:
    """Return what no field of the gateway says; of a secret its fingerprint."""
    api: Any = parts.api
    found: JsonTree = {"policies": parts.policies, **({_CONTENT: content} if content else {})}
    if api is None:
        return found
    backend = {name: item for name, item in api["backend"].items() if name != "auth"}
    if "auth" in api["backend"]:
        auth = api["backend"]["auth"]
        backend["auth"] = {"in": auth["in"], "name": auth["name"], "print": credential_print(api)}
    names = ("displayName", "routes", "plans", "access", "openapi", "wsdl")
    kept = {name: api[name] for name in names if name in api}
    if "openapi" in api:
        found["operations"] = operations
    return {**found, "api": {**kept, "backend": backend}}


def decompile_api(
    held: HeldApi, info: GatewayInfo, key: Key, consumers: Consumers | None = None
) -> tuple[ApiParts, UnmappedFields]:
    """Return the API that a gateway holds, ours or foreign, and its unmapped fields.

    Never raises on content: what cannot be read is an API of which nothing is known but its id.
    """

    def unknown(reason: str) -> tuple[ApiParts, UnmappedFields]:
        return ApiParts(key, None, {}, held.api_id), {API: {UNREADABLE: reason}}

    return read_guarded(str(key), partial(_decompile, held, info, key, consumers or {}), unknown)


def _decompile(
    held: HeldApi, info: GatewayInfo, key: Key, consumers: Consumers
) -> tuple[ApiParts, UnmappedFields]:
    mark = read_mark(held.record.get("apiDescription"))
    if not held.record:
        return ApiParts(key, None), {API: {"apiName": "its API is gone, and aliases are left"}}
    if mark is None:
        return _read_foreign(held, info, key)
    memory = read_memory(text_of((held.policy or {}).get("descriptions")))
    has_other_credential = False
    api: JsonTree | None = None
    if memory is not None and isinstance(memory.get("api"), dict):
        api, has_other_credential = _read_own(held, memory["api"], key)
    elif not mark.word(INCOMPLETE):
        # Stopped between its first write and that of its policy: what there is, is drift.
        api = _bare(held)
    policies = dict((memory or {}).get("policies") or {})
    parts = ApiParts(key, api, policies, held.api_id)
    canonical_bytes([str(api), policies])
    try:
        context = context_of(held, consumers)
        compiled = _compile(parts, info, mark.owner, context)
    except Inexpressible as error:
        return parts, {API: {UNREADABLE: str(error)}}
    left = find_unmapped_fields(held, compiled, policies)
    if memory is None:
        left.setdefault(API, {})["policy"] = "not written to its end"
    if has_other_credential:
        left.setdefault(API, {})["backend.auth"] = HIDDEN
    return parts, left


def _bare(held: HeldApi) -> JsonTree:
    return {
        "displayName": held.name,
        "version": str(held.record.get("apiVersion") or ""),
        "active": held.is_active,
        "backend": {"url": STUB, "timeout": "30s"},
        "routes": read_routes(held.paths, (), [], held.runtime_path),
        "plans": [],
    }


def _read_own(held: HeldApi, kept: Mapping[str, Any], key: Key) -> tuple[JsonTree, bool]:
    """Return an API of ours, and whether its backend's credential is another than it was."""
    remembered: Mapping[str, Any] = kept["backend"]
    alias = held.aliases.get(backend_alias(key), {})
    url = str(remembered["url"])
    if alias and alias.get("endPointURI") != url.rstrip("/"):
        url = str(alias.get("endPointURI") or "")
    timeout = str(remembered["timeout"])
    if alias and alias.get("readTimeout") != seconds_of(timeout):
        timeout = canonical_milliseconds(int(alias.get("readTimeout") or 0) * 1000)
    backend: JsonTree = {"url": url, "timeout": timeout}
    auth, header = remembered.get("auth"), held_credential(held.action(HEADER))
    is_other = False
    if auth is not None and header is not None:
        name, value = header
        backend["auth"] = {"in": auth["in"], "name": name, "value": Secret(value)}
        is_other = fingerprint(value) != auth["print"]
    methods = methods_of(kept["routes"])
    routes = read_routes(held.paths, kept["routes"], methods, held.runtime_path)
    # The name in a WSDL is that of its service.
    title = held.definition.title if held.definition is not None and not is_soap(kept) else ""
    api: JsonTree = {
        "displayName": title or str(kept["displayName"]),
        "version": str(held.record.get("apiVersion") or ""),
        "active": held.is_active,
        "backend": backend,
        "routes": routes,
        "plans": [dict(plan) for plan in kept["plans"]],
    }
    description = without_mark(held.record.get("apiDescription"))
    if description:
        api["description"] = description
    for name in ("access", "openapi", "wsdl"):
        if kept.get(name):
            api[name] = kept[name]
    return api, is_other


def _read_foreign(held: HeldApi, info: GatewayInfo, key: Key) -> tuple[ApiParts, UnmappedFields]:
    policies: dict[str, JsonTree] = {}
    for policy_type, mapping in MAPPINGS.items():
        config = mapping.read(held.actions, info) if mapping.read is not None else None
        if config is not None:
            policies[policy_type] = config
    version = str(held.record.get("apiVersion") or "")
    backend = read_target(held.action(ROUTE), held.aliases)
    header = held_credential(held.action(HEADER))
    if header is not None:
        backend["auth"] = {"in": "header", "name": header[0], "value": Secret(header[1])}
    # Without a URL alias it has the path that the gateway gives it.
    paths = held.paths or {held.runtime_path}
    title = held.definition.title if held.definition is not None else ""
    api: JsonTree = {
        "displayName": title or held.name,
        "version": version,
        "active": held.is_active,
        "backend": backend,
        "routes": read_routes(paths, (), [], ""),
        "plans": [],
    }
    description = without_mark(held.record.get("apiDescription"))
    if description:
        api["description"] = description
    parts = ApiParts(key, api, policies, held.api_id)
    compiled = _compile(parts, info, "", ApiContext(name=held.name))
    left = find_unmapped_fields(held, compiled, policies, is_ours=False)
    return parts, left
