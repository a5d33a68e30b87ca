"""Capabilities of the imaginary gateway and how specs compare on it. Pure; imports no client."""

from __future__ import annotations

from typing import Any, Final

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability, Rules
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API
from stoa_gitops.model.kinds import EXTENDED_CAPABILITIES
from stoa_gitops.model.secret import withheld

_YES: Final = Capability(supported=True)
_PATHS_ONLY: Final = Capability(supported=False, reason="services match by path alone")
_ONE_WAY: Final = Capability(supported=False, reason="a service has a target and nothing beside it")
_NOT_THERE: Final = Capability(supported=False, reason="its admin API has no such thing")

# `policy:<type>` for each policy type that mappers.py knows, and no other.
CAPABILITIES: Final[Capabilities] = {
    "api": _YES,
    "inactive": _YES,
    "multiple_routes": _YES,
    "policy:rate_limit": _YES,
    "hosts": _PATHS_ONLY,
    "route_headers": _PATHS_ONLY,
    "path_parameters": Capability(supported=False, reason="paths are texts"),
    "strip_path:false": _PATHS_ONLY,
    "timeout": _ONE_WAY,
    "retries": _ONE_WAY,
    "fallback": _ONE_WAY,
    "backend_auth:header": _ONE_WAY,
    "backend_auth:query": _ONE_WAY,
    "backend_auth:basic": _ONE_WAY,
    "backend_auth:oauth2_client_credentials": _ONE_WAY,
    "backend_tls": _ONE_WAY,
    "backends": _ONE_WAY,
    "health_check:active": _ONE_WAY,
    "health_check:passive": _ONE_WAY,
    "builtin_echo": _ONE_WAY,
    "soap": _ONE_WAY,
    **dict.fromkeys(
        (
            "application",
            "plans",
            "access:subscribed",
            "archive",
            "either_credential",
            *EXTENDED_CAPABILITIES,
        ),
        _NOT_THERE,
    ),
}
"""People read the reasons: they say what the gateway does instead."""


def project(kind: str, spec: JsonObject) -> JsonObject:
    """Return what a service holds of a desired spec: the form of `mappers.from_service`."""
    if kind != API:
        return {name: withheld(item) for name, item in spec.items()}
    value: Any = spec
    return {
        "displayName": value["displayName"],
        "active": value["active"],
        "backend": {"url": value["backend"]["url"]},
        "routes": [{"path": path} for path in sorted(route["path"] for route in value["routes"])],
    }


RULES: Final = Rules(project)
