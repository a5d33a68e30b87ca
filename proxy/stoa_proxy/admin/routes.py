"""Parse, validate and serialise routes of the admin API (`POST /admin/apis`).

Everything is checked before anything is stored; a refusal names all reasons at once.
"""

from __future__ import annotations

import re
from sys import intern

from stoa_proxy.admin.backend_tls import parse_tls, read_tls_view
from stoa_proxy.admin.backends import (
    parse_auth,
    parse_balancing,
    read_auth_view,
    read_backends_view,
    read_health_view,
)
from stoa_proxy.admin.checks import Scope, View, check_texts
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.route_headers import parse_headers, read_headers_view
from stoa_proxy.core.backend import Upstream, parse_upstream
from stoa_proxy.core.model import Plan, Prefix, Route
from stoa_proxy.core.trie import MAX_DEPTH, MAX_PARAMETERS
from stoa_proxy.errors import BackendInvalid, BackendRefused, ObjectRefused, RequestRefused
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.interning import interned
from stoa_proxy.http.targets import read_segments
from stoa_proxy.policies.parsing import is_positive, is_token

# The gateway's own paths (`own_paths`). The catalog's validation has the same list; a test
# compares.
RESERVED = frozenset(
    {("health",), ("ready",), ("metrics",), ("health", "live"), ("health", "ready")}
)
_RATES = ("per_second", "per_minute", "per_day", "per_month", "burst")
# Host names by RFC 1123, and underscores, which names of Docker Compose may have.
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,250}[a-z0-9_])?")
# A whole segment `{name}`; the catalog has the same rule.
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,31})\}")
_MAX_TIMEOUT_MS = 3_600_000  # an hour


def parse_route(body: Body, guard: AddressGuard, scope: Scope) -> tuple[Route, View]:
    """Return a route and its view. Raises BodyRefused, ObjectRefused, BackendRefused."""
    view = _read_fields(body)
    errors = _check_fields(body, view, scope)
    prefix, parameters = parse_prefix(str(view["path_prefix"]), errors)
    plans = tuple(_parse_plan(item, errors) for item in body.bodies("plans"))
    if len({plan.name for plan in plans}) != len(plans):
        errors.append("plans must have different names")
    headers = parse_headers(body, errors)
    upstreams = _UpstreamUrls(guard)
    auth = parse_auth(body, upstreams.read, errors)
    tenant = body.text("tenant_id")
    balancing = parse_balancing(body, tenant, upstreams.read, errors)
    backend = upstreams.read("backend_url", body.text("backend_url"))
    backend = parse_tls(body, "backend_tls", tenant, backend, errors)
    if balancing is not None and view["backend_tls"] is not None:
        errors.append("backend_tls is for one backend: with upstreams each has its own tls")
    fallback_url = body.optional_text("fallback_url")
    fallback = None if fallback_url is None else upstreams.read("fallback_url", fallback_url)
    if errors:
        raise ObjectRefused(
            errors + [f"{refused.field}: {refused.detail}" for refused in upstreams.refused]
        )
    if upstreams.refused:
        raise upstreams.refused[0]
    assert backend is not None
    route = Route(
        id=intern(body.text("id")),
        name=intern(body.text("name")),
        tenant_id=intern(tenant),
        api_id=intern(str(view["api_id"])),
        prefix=tuple(None if segment is None else intern(segment) for segment in prefix),
        parameters=interned(parameters),
        backend=backend if balancing is None else balancing.first,
        methods=interned(frozenset(method.upper() for method in body.texts("methods"))),
        hosts=interned(tuple(host.lower().removesuffix(".") for host in body.texts("hosts", []))),
        headers=headers,
        activated=body.flag("activated"),
        strip_path=body.flag("strip_path", default=True),
        timeout=interned(body.integer("timeout_ms", 30_000) / 1000),
        retries=body.integer("retries", 0),
        fallback=None if fallback is None else interned(fallback),
        backend_auth=auth,
        balancing=None if balancing is None else interned(balancing),
        plans=interned(plans),
        is_for_subscribers=view["access"] == "subscribed",
    )
    return route, view


def _read_fields(body: Body) -> dict[str, object]:
    """Return the view: every field, typed and with its default. Raises BodyRefused."""
    view: dict[str, object] = {
        "id": body.text("id"),
        "name": body.text("name"),
        "tenant_id": body.text("tenant_id"),
        "path_prefix": body.text("path_prefix"),
        "backend_url": body.text("backend_url"),
        "methods": body.texts("methods"),
        "spec_hash": body.text("spec_hash"),
        "activated": body.flag("activated"),
        "upstream_http_version": body.variant(
            "upstream_http_version", ("auto", "h1", "h2"), "auto"
        ),
        **read_backends_view(body),
        "trusted_backend": body.flag("trusted_backend", default=False),
    }
    if body.values.get("classification") is not None:
        view["classification"] = body.variant("classification", ("H", "VH", "VVH"))
    if body.values.get("contract_key") is not None:
        view["contract_key"] = body.text("contract_key")
    return view | _read_extensions(body)


def _read_extensions(body: Body) -> dict[str, object]:
    auth = body.body("backend_auth") if body.values.get("backend_auth") is not None else None
    return {
        "api_id": body.text("api_id", body.text("id")),
        "hosts": body.texts("hosts", []),
        **read_headers_view(body),
        "strip_path": body.flag("strip_path", default=True),
        "timeout_ms": body.integer("timeout_ms", 30_000),
        "retries": body.integer("retries", 0),
        "fallback_url": body.optional_text("fallback_url"),
        "backend_auth": auth and read_auth_view(auth),
        "backend_tls": read_tls_view(body, "backend_tls"),
        "health_check": read_health_view(body),
        "plans": body.items("plans", []),
        "metadata": body.mapping("metadata", {}),
        "access": body.variant("access", ("tenant", "subscribed"), "tenant"),
    }


def _check_fields(body: Body, view: View, scope: Scope) -> list[str]:
    names = ["id", "name", "tenant_id", "backend_url", "path_prefix"]
    if body.values.get("api_id") is not None:
        names.append("api_id")
    errors = check_texts({name: str(view[name]) for name in names})
    errors += scope.check_tenant(str(view["tenant_id"]))
    for method in body.texts("methods"):
        if not is_token(method):
            errors.append(f"methods holds '{method}', which is not an HTTP method")
    for host in body.texts("hosts", []):
        if not _HOST.fullmatch(host.lower().removesuffix(".")):
            errors.append(f"hosts holds '{host}', which is neither a host name nor *.<name>")
    if not 0 < body.integer("timeout_ms", 30_000) <= _MAX_TIMEOUT_MS:
        errors.append(f"timeout_ms must be between 1 and {_MAX_TIMEOUT_MS}")
    if not 0 <= body.integer("retries", 0) <= 10:
        errors.append("retries must be between 0 and 10")
    return errors


def parse_prefix(text: str, errors: list[str]) -> tuple[Prefix, tuple[str, ...]]:
    """Return the segments of a `path_prefix`, and the names of those that are parameters.

    What is wrong with it is appended to `errors`.
    """
    if not text.strip():
        return (), ()
    if not text.startswith("/"):
        errors.append("path_prefix must start with '/'")
        return (), ()
    if "?" in text or "#" in text:
        errors.append("path_prefix must be a path, without '?' and '#'")
    text = text.rstrip("/") or "/"
    try:
        decoded = read_segments(text)
    except RequestRefused as refused:
        errors.append(f"path_prefix: {refused.detail}")
        return (), ()
    if decoded == ("",):
        return (), ()
    if "" in decoded:
        errors.append("path_prefix must not hold empty segments")
    if decoded[0] == "admin" or decoded in RESERVED:
        errors.append("path_prefix is reserved for the gateway itself")
    if "{" not in text and "}" not in text:
        return decoded, ()
    return _with_parameters(text, decoded, errors)


def _with_parameters(
    text: str, decoded: tuple[str, ...], errors: list[str]
) -> tuple[Prefix, tuple[str, ...]]:
    segments: list[str | None] = []
    names: list[str] = []
    for raw, segment in zip(text[1:].split("/"), decoded, strict=True):
        found = _PARAMETER.fullmatch(raw)
        if found is not None:
            names.append(found[1])
        elif "{" in raw or "}" in raw:
            errors.append(f"path_prefix: a parameter is a whole segment {{name}}, not '{raw}'")
        segments.append(segment if found is None else None)
    if len(set(names)) != len(names):
        errors.append("path_prefix must not hold a parameter twice")
    if len(names) > MAX_PARAMETERS or len(segments) > MAX_DEPTH:
        errors.append(
            f"path_prefix with parameters must hold at most {MAX_PARAMETERS} of them and"
            f" {MAX_DEPTH} segments"
        )
    return tuple(segments), tuple(names)


def _parse_plan(item: Body, errors: list[str]) -> Plan:
    errors += item.check_fields(("name", *_RATES))
    name = item.text("name")
    if not name.strip():
        errors.append(f"{item.path_of('name')} must not be empty")
    rates: dict[str, int] = {}
    for rate in _RATES:
        value = item.values.get(rate)
        if value is None:
            continue
        rates[rate] = item.integer(rate)
        if not is_positive(value):
            errors.append(f"{item.path_of(rate)} must be above 0")
    if "burst" in rates and len(rates) == 1:
        errors.append(f"{item.path_of('burst')} needs a rate beside it")
    return Plan(name, **rates)


class _UpstreamUrls:
    """Parses backend URLs and keeps every refusal, so that all are reported."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self.refused: list[BackendRefused] = []

    def read(self, field: str, text: str) -> Upstream | None:
        if not text.strip():
            return None  # `check_texts` reports it
        try:
            return parse_upstream(text, self._guard)
        except BackendInvalid as error:
            self.refused.append(BackendRefused(field, error.detail, private=error.private))
            return None
