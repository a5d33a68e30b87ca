"""What a STOA gateway can hold, by the extensions that it names in `GET /admin/health`.

A gateway without extensions (the real one, 0.9.25) drops unknown fields without a word, so whatever needs one
is declared unsupported there, each with its reason, before any call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability, Rules
from stoa_gitops.adapter_sdk.policy_types import policy_types
from stoa_gitops.model.canonical import JsonObject, canonical_bytes
from stoa_gitops.model.keys import API
from stoa_gitops.model.secret import Value, withheld

Extensions = frozenset[str]

POLICIES: Final = (
    "api_key", "cors", "headers", "ip_filter", "mock", "rate_limit", "request_size",
)  # fmt: skip
"""Policy types that the data plane of this project enforces; all map one to one."""

EXTENDED: Final[Extensions] = frozenset({
    "api_id", "hosts", "strip_path", "timeout", "retries", "fallback", "backend_auth", "plans",
    "metadata", "builtin_echo", "consumers", "websocket",
    *(f"policy:{name}" for name in POLICIES),
})  # fmt: skip
"""What the data plane of this project names in its health response; docs/data-plane-admin.md."""

PLAIN: Final[Extensions] = frozenset()
"""The real STOA gateway 0.9.25: its health response has no field `extensions`."""

RESERVED: Final = ("/admin/*", "/health", "/health/live", "/health/ready", "/ready")
"""Paths that the gateway serves itself: it accepts no route there."""

_STORED: Final = "the gateway stores policies and does not enforce them"
_NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "hosts": ("hosts", "routes match by path alone"),
    "strip_path:false": ("strip_path", "the matched prefix is always stripped"),
    "timeout": ("timeout", "the timeout is always 30s"),
    "retries": ("retries", "retries cannot be configured"),
    "fallback": ("fallback", "there is no failover to another backend"),
    "backend_auth:header": (
        "backend_auth",
        "it adds the credential beside a header that the client sends, so a client can send its own",
    ),
    "backend_auth:query": ("backend_auth", "it can put a credential into headers only"),
    "plans": ("plans", "it has no plans"),
    "builtin_echo": ("builtin_echo", "it has no echo of its own"),
    "application": ("consumers", "it has no consumers"),
    "credential:api_key": ("consumers", "it does not look at API keys"),
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
        f"credential:{name}": "consumers are known by API key only"
        for name in ("basic", "jwt", "oauth2")
    },
    "auth_server": "OIDC providers are not part of its admin API",
    "strategy": "authentication strategies are not part of its admin API",
    "scope": "OAuth scopes are not part of its admin API",
    "alias": "endpoint aliases are not part of its admin API",
    "config": "gateway-wide configuration is not part of its admin API",
    "archive": "it has no export",
}


@lru_cache(maxsize=16)
def capabilities_of(extensions: Extensions) -> Capabilities:
    """Return what a running gateway with these extensions can do; asked with every write, so answers are kept."""
    found = {name: Capability(supported=True) for name in ("api", "inactive", "multiple_routes")}
    for name, (extension, reason) in _NEEDS.items():
        has = extension in extensions
        found[name] = Capability(supported=has, reason="" if has else reason)
    for name, reason in _MISSING.items():
        found[name] = Capability(supported=False, reason=reason)
    return found


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
"""What is known without asking: the running gateway decides about the rest."""


def lacks(value: Mapping[str, Value], extensions: Extensions) -> str | None:
    """Return in words what an API needs and a gateway has not; None when it can hold all of it.

    The planner asks by capability before any call; this is the second lock on the same door.
    """
    found = capabilities_of(extensions)
    reasons = [
        f"{name} ({found[name].reason})" for name in _wants(value) if not found[name].supported
    ]
    return ", ".join(reasons) or None


def _wants(value: Mapping[str, Any]) -> list[str]:
    backend, routes = value["backend"], value["routes"]
    auth = backend.get("auth")
    wants = {
        "hosts": any(route["hosts"] for route in routes),
        "strip_path:false": not all(route["stripPath"] for route in routes),
        "timeout": backend["timeout"] != "30s",
        "retries": backend["retries"] != 0,
        "fallback": "fallback" in backend,
        f"backend_auth:{auth['in'] if auth else 'header'}": bool(auth),
        "plans": bool(value["plans"]),
        "builtin_echo": backend["url"] == "builtin:echo",
    }
    return [name for name, wanted in wants.items() if wanted]


def digest(value: Mapping[str, Value]) -> str:
    """Return the `spec_hash` of an API: SHA-256 of its canonical form without secrets."""
    return hashlib.sha256(canonical_bytes(withheld(value))).hexdigest()


def project_plain(kind: str, spec: JsonObject) -> JsonObject:
    """Return what a gateway without extensions reports: the fields it has, and `specHash` for the others.

    A gateway with them holds the canonical form as it is, and needs no projection.
    """
    if kind != API:
        return {name: withheld(item) for name, item in spec.items()}
    value: Any = spec
    routes = [{"path": route["path"], "methods": route["methods"]} for route in value["routes"]]
    return {
        "active": value["active"],
        "backend": {"url": value["backend"]["url"]},
        "routes": sorted(routes, key=route_order),
        "specHash": digest(value),
    }


def named_in(health: Mapping[str, Any]) -> Extensions:
    """Return the extensions of a gateway's health answer; none where it does not speak of any."""
    named = health.get("extensions")
    return frozenset(map(str, named)) if isinstance(named, list) else PLAIN


def credential_types(value: Mapping[str, Any]) -> list[str]:
    """Return the types of an application's credentials, each once."""
    return sorted({str(credential["type"]) for credential in value["credentials"]})


def is_extended(extensions: Extensions) -> bool:
    """Whether routes carry what the canonical form has and STOA's has not."""
    return {"api_id", "metadata"} <= extensions


def rules_for(extensions: Extensions) -> Rules:
    """Return how specs compare on a running gateway."""
    return Rules() if is_extended(extensions) else Rules(project_plain)


def subscription_order(subscription: Mapping[str, Any]) -> tuple[str, str, str]:
    """Sort subscriptions as the canonical form does."""
    return (
        subscription["api"], subscription.get("plan", ""), subscription.get("expiresAt", ""),
    )  # fmt: skip


def route_order(route: Mapping[str, Any]) -> tuple[str, list[str], list[str]]:
    """Sort routes as the canonical form does."""
    return route["path"], list(route.get("hosts", ())), list(route["methods"])
