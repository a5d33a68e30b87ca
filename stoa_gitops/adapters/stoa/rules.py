"""Capabilities of a STOA gateway, by the extensions that it names in `GET /admin/health`.

The real STOA gateway 0.9.25 names none, and accepts and drops unknown fields. Whatever needs one is
therefore declared unsupported there, with its reason, before any call (docs/adr/0003).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability, Rules
from stoa_gitops.adapter_sdk.policy_types import policy_types
from stoa_gitops.adapters.stoa.adoption import refuse_adoption
from stoa_gitops.adapters.stoa.data_plane import data_plane_losses
from stoa_gitops.adapters.stoa.plain_gateway import (
    fetching_losses,
    joinable_url,
    plain_losses,
    possible_losses,
)
from stoa_gitops.adapters.stoa.routing import LETTERS
from stoa_gitops.model.canonical import JsonObject, canonical_bytes
from stoa_gitops.model.catalog import DEFAULT_OWNER
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.path_parameters import has_parameters
from stoa_gitops.model.routing import HeaderValues, read_headers
from stoa_gitops.model.secret import Value, withheld

Extensions = frozenset[str]

_MAX_NAMED: Final = 5
"""Unattached policies that a warning names."""

VendorObject: TypeAlias = Mapping[str, Any]
"""An object as STOA's admin API shows it; client.py has checked the fields that all send."""

POLICIES: Final = (
    "api_key", "caching", "circuit_breaker", "cors", "headers", "ip_filter", "jwt", "logging",
    "mock", "quota", "rate_limit", "request_size", "retry",
)  # fmt: skip
"""Policy types that the data plane of this project enforces; all map one to one."""

EXTENDED: Final[Extensions] = frozenset({
    "api_id", "hosts", "strip_path", "timeout", "retries", "fallback", "backend_auth", "plans",
    "metadata", "builtin_echo", "consumers", "websocket", "batch", "access",
    "credential:jwt", "either_credential", "trace", "upstreams", "health_check",
    "backend_auth:basic", "backend_auth:oauth2_client_credentials", "route_headers",
    "path_parameters", "backend_tls",
    *(f"policy:{name}" for name in POLICIES),
})  # fmt: skip
"""What the data plane of this project names in its health response; docs/data-plane-admin.md."""

PLAIN: Final[Extensions] = frozenset()
"""The real STOA gateway 0.9.25: its health response has no field `extensions`."""

TRUSTED_BACKEND: Final = "trusted_backend"
"""The extension of a real gateway that fetches its routes: it takes private backends that a route
of there calls trusted, which its admin API refuses (contract stoa.md §16.3.5)."""

LossFinder: TypeAlias = Callable[[str, JsonObject], tuple[Loss, ...]]

RESERVED: Final = (
    "/admin/*", "/health", "/health/live", "/health/ready", "/metrics", "/ready",
)  # fmt: skip
"""Paths that the gateway serves itself: it accepts no route there."""

# STOA gateway 0.9.25 stores and counts /admin/policies and never applies them to traffic.
_STORED: Final = "the gateway stores policies and does not enforce them"
_NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "hosts": ("hosts", "routes match by path alone"),
    "route_headers": ("route_headers", "routes match by path alone"),
    "path_parameters": ("path_parameters", "a path is compared letter by letter"),
    # STOA gateway 0.9.25 cuts `path_prefix` off and has no switch for it.
    "strip_path:false": ("strip_path", "the matched prefix is always stripped"),
    # Connect 5 s, total 30 s, fixed; retries only of GET, HEAD, DELETE, OPTIONS on 502 and 503.
    "timeout": ("timeout", "the timeout is always 30s"),
    "retries": ("retries", "retries cannot be configured"),
    "fallback": ("fallback", "there is no failover to another backend"),
    # By /admin/backend-credentials, whose list shows all secrets in clear, too: never used.
    "backend_auth:header": (
        "backend_auth",
        (
            "it adds the credential beside a header that the client sends, so a client can send its"
            " own"
        ),
    ),
    "backend_auth:query": ("backend_auth", "it can put a credential into headers only"),
    "backend_auth:basic": ("backend_auth:basic", "it adds it beside what the client sends"),
    # Its admin lists show the secret in clear, too.
    "backend_auth:oauth2_client_credentials": (
        "backend_auth:oauth2_client_credentials",
        "it adds the token beside what the client sends",
    ),
    "backend_tls": (
        "backend_tls",
        "it shows backends no certificate of a document",
    ),
    # Seen of STOA gateway 0.9.25: its balancer is made anew for each request.
    "backends": ("upstreams", "of several backends it calls the first alone"),
    "health_check:active": ("health_check", "it does not check backends"),
    "health_check:passive": ("health_check", "no backend is ejected that fails"),
    "plans": ("plans", "it has no plans"),
    "access:subscribed": ("access", "every application of the tenant is let in"),
    "builtin_echo": ("builtin_echo", "it has no echo of its own"),
    "application": ("consumers", "it has no consumers"),
    # STOA gateway 0.9.25 checks keys on its LLM proxy only, not on routes.
    "credential:api_key": ("consumers", "it does not look at API keys"),
    # It validates tokens on its MCP paths only, not on routes.
    "credential:jwt": ("credential:jwt", "it does not look at tokens on routes"),
    "either_credential": ("either_credential", "it does not look at keys and tokens on routes"),
    **{f"policy:{name}": (f"policy:{name}", _STORED) for name in POLICIES},
}
"""Capability -> the extension it needs, and what a gateway without it does instead."""

_MISSING: Final[Mapping[str, str]] = {
    **{
        f"policy:{name}": "the data plane does not enforce it yet"
        for name in policy_types()
        if name not in POLICIES
    },
    **{
        f"credential:{name}": "consumers are known by API keys and by the client of a token only"
        for name in ("basic", "oauth2")
    },
    "global_policy": "policies of a tenant are written to each of its APIs",
    "auth_server": "OIDC providers are not part of its admin API",
    "strategy": "authentication strategies are not part of its admin API",
    "scope": "OAuth scopes are not part of its admin API",
    "alias": "endpoint aliases are not part of its admin API",
    "config": "gateway-wide configuration is not part of its admin API",
    "archive": "it has no export",
    "soap": "it reads no WSDL",
}


@lru_cache(maxsize=16)  # asked for every write; a process meets a few sets of extensions
def capabilities_of(extensions: Extensions) -> Capabilities:
    """Return the capabilities of a running gateway with these extensions."""
    capabilities = {
        name: Capability(supported=True) for name in ("api", "inactive", "multiple_routes")
    }
    for name, (extension, reason) in _NEEDS.items():
        has = extension in extensions
        capabilities[name] = Capability(supported=has, reason="" if has else reason)
    for name, reason in _MISSING.items():
        capabilities[name] = Capability(supported=False, reason=reason)
    return capabilities


DECLARED: Final[Capabilities] = {
    name: Capability(
        supported=capability.supported,
        reason=f"without the extension `{_NEEDS[name][0]}`: {_NEEDS[name][1]}"
        if name in _NEEDS
        else capability.reason,
        depends=name in _NEEDS,
    )
    for name, capability in capabilities_of(EXTENDED).items()
}
"""Known without asking a gateway; `depends` marks what the running one decides."""


def missing_for(value: Mapping[str, Value], extensions: Extensions) -> str | None:
    """Return what an API needs and a gateway lacks, with reasons; None if it can hold all of it.

    The planner checks capabilities before any call. This second check is for the time between:
    the gateway may have been replaced by one without extensions.
    """
    declared = capabilities_of(extensions)
    reasons = [
        f"{name} ({declared[name].reason})"
        for name in _needed_by(value)
        if not declared[name].supported
    ]
    if not is_extended(extensions):
        found = _plain_losses(extensions)(API, withheld_spec(value))
        reasons += [loss.message for loss in found if not loss.is_partial]
    return ", ".join(reasons) or None


def refusal_of(kind: str, value: Mapping[str, Any], extensions: Extensions) -> str:
    """Return what an object of any kind needs and a gateway lacks, with reasons; or nothing."""
    if kind == API:
        return missing_for(value, extensions) or ""
    if kind == APPLICATION:
        types = credential_types(value)
        names = ["application", *(f"credential:{name}" for name in types)]
    else:
        names = [f"policy:{value['type']}"]
    declared = capabilities_of(extensions)
    for name in names:
        found = declared.get(name)
        if found is None or not found.supported:
            return f"{name} ({found.reason if found else 'unknown to this adapter'})"
    return ""


def _needed_by(value: Mapping[str, Any]) -> list[str]:
    backend, routes = value["backend"], value["routes"]
    auth, check = backend.get("auth"), backend.get("healthCheck", {})
    kind = auth.get("type") or auth["in"] if auth else "header"
    needs = {
        "hosts": any(route["hosts"] for route in routes),
        "route_headers": any("headers" in route for route in routes),
        "path_parameters": any(has_parameters(route["path"]) for route in routes),
        "strip_path:false": not all(route["stripPath"] for route in routes),
        "timeout": backend["timeout"] != "30s",
        "retries": backend["retries"] != 0,
        "fallback": "fallback" in backend,
        f"backend_auth:{kind}": bool(auth),
        "backend_tls": any("tls" in one for one in (backend, *backend.get("targets", ()))),
        "backends": "targets" in backend,
        "health_check:active": "active" in check,
        "health_check:passive": "passive" in check,
        "plans": bool(value["plans"]),
        "access:subscribed": "access" in value,
        "builtin_echo": backend["url"] == "builtin:echo",
        "soap": "wsdl" in value,
    }
    return [name for name, is_needed in needs.items() if is_needed]


def digest(value: Mapping[str, Value]) -> str:
    """Return the `spec_hash` of an API: SHA-256 of its canonical form without secrets.

    The gateway stores it as given and returns it, so drift of fields that it lacks still shows.
    """
    return hashlib.sha256(canonical_bytes(withheld(value))).hexdigest()


def fingerprint(secret_sha256: str) -> str:
    """Return what our data plane shows of a secret, given its SHA-256 (docs/data-plane-admin.md).

    64 bits of a second hash tell another secret apart and do not lead back to this one.
    """
    return hashlib.sha256(secret_sha256.encode()).hexdigest()[:16]


def project_plain(kind: str, spec: JsonObject) -> JsonObject:
    """Return what a gateway without extensions reports: its fields, and `specHash` for the others.

    A gateway with extensions holds the canonical form and needs no projection.
    """
    if kind != API:
        return withheld_spec(spec)
    value: Any = spec
    routes = [{"path": route["path"], "methods": route["methods"]} for route in value["routes"]]
    return {
        "active": value["active"],
        "backend": {"url": joinable_url(value["backend"]["url"])},
        "routes": sorted(routes, key=route_order),
        "specHash": digest(value),
    }


def withheld_spec(spec: Mapping[str, Value]) -> JsonObject:
    """Return a canonical spec with its secrets withheld."""
    return {name: withheld(item) for name, item in spec.items()}


def extensions_in(health: Mapping[str, Any]) -> Extensions:
    """Return the extensions that a health response names; none if it has no such field."""
    named = health.get("extensions")
    # Anything but a list is no statement: extensions that are not named are not used.
    return _shared_extensions(tuple(map(str, named))) if isinstance(named, list) else PLAIN


@lru_cache(maxsize=64)
def _shared_extensions(names: tuple[str, ...]) -> Extensions:
    # A thousand gateways of one version name the same ones.
    return frozenset(names)


def unattached_in(health: Mapping[str, Any]) -> str:
    """Return a warning about policies that protect nothing; empty without any."""
    named = health.get("unattached_policies")
    if not isinstance(named, list) or not named:
        return ""
    count = health.get("unattached_policies_count", len(named))
    shown = ", ".join(str(name)[:80] for name in named[:_MAX_NAMED])
    return f"{count} policies on the gateway name no API and protect nothing: {shown}"


_IDLE: Final[Mapping[str, tuple[str, int]]] = {
    "stoa_sidecar": ("sidecar", 404), "stoa_proxy": ("proxy", 502), "stoa_shadow": ("shadow", 404),
}  # fmt: skip
"""Modes in which STOA gateway 0.9.25 takes routes and serves none, and what it answers instead."""


def idleness_of(gateway_type: str, extensions: Extensions) -> str:
    """Return a warning about a real gateway that serves no API in its mode; empty for others."""
    if is_extended(extensions) or gateway_type not in _IDLE:
        return ""
    mode, status = _IDLE[gateway_type]
    return f"a STOA gateway 0.9.25 in mode {mode} takes routes and serves none: it answers {status}"


def credential_types(value: Mapping[str, Any]) -> list[str]:
    """Return the types of an application's credentials, each once."""
    return sorted({str(credential["type"]) for credential in value["credentials"]})


def is_extended(extensions: Extensions) -> bool:
    """Whether routes can carry the fields of the canonical form that STOA's routes lack."""
    return {"api_id", "metadata"} <= extensions


def rules_for(extensions: Extensions) -> Rules:
    """Return how specs compare on a running gateway."""
    if is_extended(extensions):
        return EMBEDDED
    return _FETCHING if TRUSTED_BACKEND in extensions else _PLAIN


def _plain_losses(extensions: Extensions) -> LossFinder:
    return fetching_losses if TRUSTED_BACKEND in extensions else plain_losses


def _unasked_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    """Return losses of a gateway that may be ours or the real one; only ours enforces policies."""
    found = data_plane_losses(kind, spec)
    if found and kind == API:
        found = tuple(replace(loss, message=f"on our data plane, {loss.message}") for loss in found)
    return (*possible_losses(kind, spec), *found)


EMBEDDED: Final = Rules(losses=data_plane_losses, refuse_adoption=refuse_adoption)
"""How specs compare on our data plane."""

_PLAIN: Final = Rules(project_plain, plain_losses, refuse_adoption, LETTERS)

_FETCHING: Final = Rules(project_plain, fetching_losses, refuse_adoption, LETTERS)
"""How specs compare on a real gateway that fetches its routes."""

UNASKED: Final = Rules(losses=_unasked_losses, refuse_adoption=refuse_adoption)
"""How specs compare on a gateway that was not asked for its extensions yet."""


def owner_by_id(key: Key, vendor_id: object, part: str = "") -> str:
    """Return the catalog whose id of `key` this is, as far as it can be told; empty otherwise.

    An id is a hash of the owner's name, so only that of catalogs without a name can be found.
    """
    return DEFAULT_OWNER if vendor_id == key.identifier(DEFAULT_OWNER, part) else ""


def subscription_order(subscription: Mapping[str, Any]) -> tuple[str, str, str]:
    """Sort subscriptions as the canonical form does."""
    return (
        subscription["api"],
        subscription.get("plan", ""),
        subscription.get("expiresAt", ""),
    )


def route_order(
    route: Mapping[str, Any],
) -> tuple[str, list[str], list[str], HeaderValues]:
    """Sort routes as the canonical form does."""
    hosts, methods = list(route.get("hosts", ())), list(route["methods"])
    return route["path"], hosts, methods, read_headers(route)
