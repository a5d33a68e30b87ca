"""Finds what a route on a STOA gateway has beyond the canonical form. Pure.

Such fields are part of what is observed, within their route in `routes`, where nothing is left to
others: on a route of ours they are drift, on a foreign one they are what an adoption would drop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stoa_gitops.adapters.stoa.rules import Extensions, VendorObject, is_extended
from stoa_gitops.model.canonical import Json

_DEFAULTS: Final[Mapping[str, Json]] = {
    "upstream_http_version": "auto", "upstreams": [], "load_balancer": "round_robin",
    "classification": None, "contract_key": None,
}  # fmt: skip
"""Fields of a route that we never send, with the values that STOA gateway 0.9.25 gives them."""

# The admin API of STOA gateway 0.9.25 forces `true`, whatever is sent: `false` came another way.
_BALANCED: Final = frozenset({"upstreams", "load_balancer"})
"""Fields that a gateway with the extension `upstreams` heeds, and that are mapped there."""

_TRUSTED: Final = "trusted_backend"

_MAPPED: Final = frozenset({
    "id", "name", "tenant_id", "path_prefix", "backend_url", "methods", "spec_hash", "activated",
    "api_id", "hosts", "strip_path", "timeout_ms", "retries", "fallback_url", "backend_auth",
    "plans", "metadata", "access", "health_check", "headers", "backend_tls", _TRUSTED,
})  # fmt: skip
"""Fields that the canonical form expresses, that name the route, or that mean nothing."""


def find_unmapped_fields(
    route: VendorObject, extensions: Extensions, api_id: str | None
) -> dict[str, Json]:
    """Return the fields of one route that are not as a route of ours has them.

    `api_id` is what a route of ours has there; None for a foreign route, of which fields that this
    version does not know count as well. On ours they do not: a later gateway may add any.
    """
    is_balanced = "upstreams" in extensions and bool(route.get("upstreams"))
    found: dict[str, Json] = {
        name: route[name]
        for name, default in _DEFAULTS.items()
        if route.get(name) is not None and route[name] != default
        if not (is_balanced and name in _BALANCED)
    }
    if is_extended(extensions):
        # Policies attach by it: a route under another one is served without them.
        if api_id is not None and route.get("api_id") != api_id:
            found["api_id"] = route.get("api_id")
    elif route.get(_TRUSTED) is False:
        found[_TRUSTED] = False
    if api_id is None:
        names = sorted(route.keys() - _DEFAULTS.keys() - _MAPPED)
        # An empty value asks for nothing, whatever the field means.
        found |= {name: route[name] for name in names if route[name]}
    return found
