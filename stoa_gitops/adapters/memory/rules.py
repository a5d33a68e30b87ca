"""The gateway in memory can do everything, and holds specs as they are given."""

from __future__ import annotations

from typing import Final

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability

POLICY_TYPES: Final = (
    "rate_limit", "quota", "cors", "api_key", "jwt", "ip_filter", "request_size", "headers",
    "caching", "logging", "mock", "retry", "circuit_breaker",
)  # fmt: skip

_YES: Final = Capability(supported=True)

CAPABILITIES: Final[Capabilities] = dict.fromkeys(("api", "application", "plans", "hosts", "strip_path:false", "timeout", "retries", "fallback", "backend_auth:header", "backend_auth:query", "multiple_routes", "builtin_echo", "inactive", "auth_server", "strategy", "scope", "alias", "config", "archive", "credential:api_key", "credential:basic", "credential:jwt", "credential:oauth2", *(f"policy:{policy_type}" for policy_type in POLICY_TYPES)), _YES)  # fmt: skip
