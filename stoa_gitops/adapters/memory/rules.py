"""Capabilities of the memory gateway: it supports everything, and holds specs as given."""

from __future__ import annotations

from typing import Final

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability
from stoa_gitops.adapter_sdk.policy_types import policy_types
from stoa_gitops.model.kinds import EXTENDED_CAPABILITIES

_FIELDS: Final = (
    "plans", "hosts", "route_headers", "path_parameters", "strip_path:false", "timeout", "retries",
    "fallback",
    "backend_auth:header", "backend_auth:query", "multiple_routes", "builtin_echo", "inactive",
    "either_credential",
    "access:subscribed", "soap", "backends", "health_check:active", "health_check:passive",
    "backend_auth:basic", "backend_auth:oauth2_client_credentials", "backend_tls",
)  # fmt: skip
_CREDENTIALS: Final = ("api_key", "basic", "jwt", "oauth2")

CAPABILITIES: Final[Capabilities] = dict.fromkeys(
    (
        "api",
        "application",
        "archive",
        *_FIELDS,
        *EXTENDED_CAPABILITIES,
        *(f"credential:{name}" for name in _CREDENTIALS),
        *(f"policy:{name}" for name in policy_types()),
    ),
    Capability(supported=True),
)
