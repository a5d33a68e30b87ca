"""Capabilities, projection and losses of webMethods, and what is refused before any call. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk import refusals
from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability, Rules
from stoa_gitops.adapter_sdk.contract import AdapterResult, ObjectSpec
from stoa_gitops.adapter_sdk.refusals import key_losses, refuse_unread
from stoa_gitops.adapters.webmethods.entities.parts import UNMAPPED, GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.access import COUNTED, securities
from stoa_gitops.adapters.webmethods.mapping.access import TEMPLATE as IDENTIFY
from stoa_gitops.adapters.webmethods.mapping.backends import HEADER, ROUTE, backend_losses
from stoa_gitops.adapters.webmethods.mapping.gateway_objects import KINDS, project_object
from stoa_gitops.adapters.webmethods.mapping.global_policies import (
    global_losses,
    project_global,
)
from stoa_gitops.adapters.webmethods.mapping.limits import TEMPLATE as THROTTLE
from stoa_gitops.adapters.webmethods.mapping.limits import plan_losses
from stoa_gitops.adapters.webmethods.mapping.losses import text_fault
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import Place
from stoa_gitops.adapters.webmethods.mapping.routes import route_losses, stored_routes
from stoa_gitops.adapters.webmethods.mapping.soap import soap_combined_losses, soap_losses
from stoa_gitops.adapters.webmethods.mapping.template_losses import (
    missing_templates,
    template_losses,
)
from stoa_gitops.adapters.webmethods.policies import MAPPINGS
from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.kinds import GLOBAL_POLICY
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import withheld

_SUPPORTED: Final = (
    "api", "application", "archive", "plans", "strip_path:false", "timeout", "multiple_routes",
    "inactive", "backend_auth:header", "access:subscribed", "either_credential",
    "credential:api_key", "credential:jwt", "auth_server", "strategy", "scope", "alias", "config",
    "global_policy",
    "soap", *(f"policy:{name}" for name in MAPPINGS),
)  # fmt: skip
CREDENTIAL_REASONS: Final[Mapping[str, str]] = {
    "basic": "no policy of the catalog asks for a user name and password",
    "oauth2": "no policy of the catalog asks for tokens that an authority must be asked about",
}
_MISSING: Final[Mapping[str, str]] = {
    "path_parameters": "a URL alias of webMethods is one text",
    "route_headers": "a URL alias of webMethods is for all requests",
    "hosts": "a URL alias of webMethods is for all hosts",
    "retries": "straight through routing of webMethods asks a backend once",
    "backend_auth:query": "webMethods adds headers to a request, not query parameters",
    "backends": "an endpoint alias of webMethods has one URL and no weights",
    "health_check:active": "webMethods checks no backends",
    "health_check:passive": "an endpoint of webMethods is suspended after one failure",
    "backend_auth:basic": "write it as a header Authorization, with the whole value in a secret",
    "backend_auth:oauth2_client_credentials": "an alias sends what is written, and gets no tokens",
    "backend_tls": "key stores of webMethods are for the whole gateway, and not written",
    "fallback": "webMethods has no other backend for answers that a document calls failed",
    "builtin_echo": "webMethods has no echo of its own",
    "policy:caching": "webMethods' cache does not tell callers apart, so that one would get "
    "another's answer",
    "policy:circuit_breaker": "webMethods has none: an endpoint is suspended after one failure",
    "policy:ip_filter": "webMethods denies addresses for the whole gateway, and knows those of "
    "applications, not of an API",
    "policy:mock": "mocks of webMethods answer for each operation of a definition, not for an API",
    "policy:request_size": "webMethods limits bodies for the whole gateway (threat protection)",
    "policy:retry": "straight through routing of webMethods asks a backend once",
    **{f"credential:{name}": reason for name, reason in CREDENTIAL_REASONS.items()},
}

CAPABILITIES: Final[Capabilities] = {
    **{name: Capability(supported=True) for name in _SUPPORTED},
    **{name: Capability(supported=False, reason=reason) for name, reason in _MISSING.items()},
}

_VERSION: Final = re.compile(r"[A-Za-z0-9._-]+")
"""`apiVersion` is a segment of the path that the API is served at."""


def stored_spec(kind: str, spec: Mapping[str, Any]) -> JsonTree:
    """Return what webMethods stores of a canonical spec, secrets as they are; for the compilers."""
    if kind == API:
        return _stored_api(spec)
    if kind == POLICY:
        policy_type = spec["type"]
        config = stored_config(policy_type, spec["config"])
        return {"api": spec["api"], "type": policy_type, "config": config}
    if kind == APPLICATION:
        found = {
            "displayName": spec["displayName"],
            "credentials": [_stored_credential(one) for one in spec["credentials"]],
            "subscriptions": [dict(one) for one in spec["subscriptions"]],
        }
        return {**found, **({"owner": spec["owner"]} if spec.get("owner") else {})}
    return dict(spec)


def _stored_api(spec: Mapping[str, Any]) -> JsonTree:
    backend = {name: item for name, item in spec["backend"].items() if name != "retries"}
    found: JsonTree = {
        "displayName": spec["displayName"],
        "version": spec["version"],
        "active": spec["active"],
        "backend": backend,
        "routes": stored_routes(spec["routes"]),
        "plans": [
            {name: item for name, item in plan.items() if name != "burst"} for plan in spec["plans"]
        ],
    }
    for name in ("description", "access", "openapi", "wsdl"):
        if spec.get(name):
            found[name] = spec[name]
    return found


def stored_config(policy_type: str, config: Mapping[str, Any]) -> JsonTree:
    """Return what webMethods stores of a policy's config."""
    mapping = MAPPINGS.get(policy_type)
    return dict(config) if mapping is None else mapping.stored(config)


_CREDENTIAL_FIELDS: Final = {"api_key": ("type", "key"), "jwt": ("type", "clientId")}


def _stored_credential(credential: Mapping[str, Any]) -> JsonTree:
    fields = _CREDENTIAL_FIELDS.get(credential["type"])
    return {n: item for n, item in credential.items() if fields is None or n in fields}


def project(kind: str, spec: JsonObject) -> JsonObject:
    """Return what `list_*` reports of a spec that was written."""
    if kind == GLOBAL_POLICY:
        return {**project_global(spec), UNMAPPED: None}
    if kind in KINDS:
        found = {name: withheld(item) for name, item in project_object(kind, spec).items()}
        return {**found, UNMAPPED: None}
    return {
        **{name: withheld(item) for name, item in stored_spec(kind, spec).items()},
        UNMAPPED: None,
    }


def losses(kind: str, spec: JsonObject, info: GatewayInfo | None) -> tuple[Loss, ...]:
    """Return what of a canonical spec gets lost; `info` is None before anybody asked."""
    values: Any = spec
    if kind == API:
        return tuple(api_losses(values, info))
    if kind == POLICY:
        return tuple(policy_losses(values["type"], values["config"], info))
    if kind == APPLICATION:
        return tuple(application_losses(values))
    if kind == GLOBAL_POLICY:
        return tuple(global_losses(values))
    return ()


def api_losses(spec: Mapping[str, Any], info: GatewayInfo | None) -> Iterator[Loss]:
    """Yield what webMethods cannot hold or do of an API."""
    known = info or GatewayInfo()
    yield from backend_losses(spec["backend"])
    yield from route_losses(spec["routes"], known.options.depth)
    yield from plan_losses(spec["plans"])
    yield from soap_losses(spec)
    if _VERSION.fullmatch(spec["version"]) is None:
        yield Loss(
            f"the version {spec['version']}: webMethods serves an API at a path with it: write "
            "letters, digits, . - and _",
            at=("version",),
        )
    if spec["routes"] and known.serves_below_aliases is False:
        yield Loss(
            "paths below those of routes: this gateway serves URL aliases as they are until "
            "watt.server.url.alias.partialMatching is true (extended settings, with a restart)",
            is_partial=True,
            at=("routes",),
        )
    yield from missing_templates(_templates_of(spec), known)
    for name in ("displayName", "description"):
        if message := text_fault(spec.get(name, "")):
            yield Loss(f"{name}: {message}", at=(name,))


def _templates_of(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the templates of an API itself, without its policies."""
    yield from ("entryProtocolPolicy", ROUTE)
    if spec["plans"]:
        yield from (IDENTIFY, THROTTLE)
    if "auth" in spec["backend"]:
        yield HEADER


def policy_losses(
    policy_type: str, config: Mapping[str, Any], info: GatewayInfo | None
) -> Iterator[Loss]:
    """Yield what webMethods cannot hold or do of a policy; `info` is None before anybody asked."""
    mapping = MAPPINGS.get(policy_type)
    if mapping is None:
        yield Loss(f"webMethods is not told policies of type {policy_type}")
        return
    found = list(mapping.losses(config))
    yield from found
    if info is None:
        return
    if mapping.node_losses is not None:
        yield from mapping.node_losses(config, info)
    if info.templates and all(loss.is_partial for loss in found):
        yield from template_losses(mapping.write(mapping.stored(config), Place(info)), info)


def application_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what webMethods cannot hold of an application."""
    for index, credential in enumerate(spec["credentials"]):
        sort, at = credential["type"], ("credentials", index)
        reason = CREDENTIAL_REASONS.get(sort)
        if reason is not None:
            yield Loss(f"credential {index + 1} ({sort}): {reason}", at=at)
        elif sort == "jwt" and "clientId" not in credential:
            yield Loss(
                f"credential {index + 1} (jwt): without `clientIdRef` webMethods does not know "
                "whose token it is",
                at=at,
            )
        elif sort == "api_key":
            yield from key_losses(credential.get("key"), index)
        elif sort != "jwt":
            yield Loss(f"credential {index + 1}: webMethods is not told credentials of type {sort}")
    if message := text_fault(spec.get("displayName", "")):
        yield Loss(f"displayName: {message}", at=("displayName",))


def _refuse_adoption(_: str, spec: JsonObject) -> str:
    """Return why a foreign object cannot be adopted: what nobody can read nobody can keep."""
    return refuse_unread(spec, UNMAPPED)


def combined_losses(api: Spec, policies: Mapping[str, Spec]) -> tuple[Loss, ...]:
    """Return what webMethods does not do of an API together with its policies."""
    value: Any = api.value
    found = soap_combined_losses(value, policies)
    if securities(value, policies):
        return found
    return found + tuple(
        Loss(
            f"{policy_type} of an API that asks nobody for a key or a token: webMethods counts all "
            "callers together, and not by address",
            is_partial=True,
            at=("policies", policy_type),
        )
        for policy_type in sorted(COUNTED.intersection(policies))
    )


RULES: Final = Rules(
    project, partial(losses, info=None), _refuse_adoption, combined=combined_losses
)
"""Rules before a gateway was asked what it is."""


def rules_of(info: GatewayInfo) -> Rules:
    """Return the rules of a running gateway, which know its settings."""
    find = partial(losses, info=info)
    return Rules(project, find, _refuse_adoption, combined=combined_losses)


def refuse_unsupported(spec: ObjectSpec, info: GatewayInfo) -> AdapterResult | None:
    """Return why an object is not written, None where it is."""
    value: Any = spec.value
    found = partial(losses, spec.key.kind, value, info)
    return refusals.refuse_unsupported(_needed(spec), CAPABILITIES, found)


def _needed(spec: ObjectSpec) -> Iterator[str]:
    value: Any = spec.value
    if spec.key.kind == POLICY:
        yield f"policy:{value['type']}"
