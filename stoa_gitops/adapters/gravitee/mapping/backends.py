"""Maps the backend of an API to an endpoint group with one endpoint, and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.defaults import FAILOVER, HTTP
from stoa_gitops.adapters.gravitee.entities.marks import fingerprint
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.losses import (
    FRAMING,
    milliseconds_loss,
    value_fault,
)
from stoa_gitops.model.canonical import canonical_milliseconds, duration_ms
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Secret

GROUP: Final = "default-group"
ENDPOINT: Final = "default"
"""Groups and endpoints share one name space (contract gravitee.md R.1 row 1)."""

PROXY: Final = "http-proxy"
STUB: Final = "http://not-written-yet.invalid"
"""Target of an API that is not written yet; it is never started."""

NEVER_OPEN: Final = 1000
"""Calls that must all fail before retries alone make Gravitee's failover give up a backend.

Its circuit breaker cannot be switched off, and counts in a ring of that size.
"""

_PLAIN_URL: Final = re.compile(r"https?://[^\s{}]+")


def compile_groups(api: Mapping[str, Any] | None) -> list[JsonTree]:
    """Return the endpoint groups of an API; None for one of which only policies are written."""
    shared: JsonTree = {}
    if api is not None:
        backend = api["backend"]
        timeout = duration_ms(backend["timeout"])
        shared["http"] = {
            "connectTimeout": min(timeout, HTTP["connectTimeout"]),
            "readTimeout": timeout,
            # An idle connection would be closed before a slow backend answers.
            "idleTimeout": max(timeout, HTTP["idleTimeout"]),
            "maxConcurrentConnections": HTTP["maxConcurrentConnections"] * 5,
            "version": "HTTP_1_1",
        }
        auth = backend.get("auth")
        if auth is not None:
            shared["headers"] = [{"name": auth["name"], "value": auth["value"]}]
    endpoint = {
        "name": ENDPOINT,
        "type": PROXY,
        "weight": 1,
        # From a group that has none, 4.10.8 refuses to inherit.
        "inheritConfiguration": bool(shared),
        "secondary": False,
        "configuration": {"target": STUB if api is None else target_of(api)},
    }
    group: JsonTree = {
        "name": GROUP,
        "type": PROXY,
        "loadBalancer": {"type": "ROUND_ROBIN"},
        "endpoints": [endpoint],
    }
    return [{**group, "sharedConfiguration": shared} if shared else group]


def target_of(api: Mapping[str, Any]) -> str:
    """Return the URL that requests go to: with the path of the route where that is kept."""
    url: str = api["backend"]["url"]
    route = api["routes"][0] if api["routes"] else None
    if route is None or route["stripPath"] or route["path"] == "/":
        return url
    return url.rstrip("/") + str(route["path"])


def backend_marks(api: Mapping[str, Any]) -> dict[str, str]:
    """Return what of a backend no field of Gravitee says, by the name of its mark."""
    backend = api["backend"]
    marks = {}
    if target_of(api) != backend["url"]:
        marks["url"] = backend["url"]
    if "auth" in backend:
        marks["auth"] = fingerprint(_revealed(backend["auth"]["value"]))
    return marks


def _revealed(value: object) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def read_backend(
    definition: Mapping[str, Any], marks: Mapping[str, str], *, is_ours: bool
) -> tuple[JsonTree, bool]:
    """Return the backend of a definition, and whether its credential is another than ours was.

    Raises ValueError where it has no HTTP endpoint.
    """
    group, endpoint = _first_endpoint(definition)
    target = str((endpoint.get("configuration") or {}).get("target") or "")
    if not target:
        raise ValueError("its endpoint has no target")
    shared = group.get("sharedConfiguration") or {}
    http = shared.get("http") or {}
    kept = marks.get("url", "")
    backend: JsonTree = {
        "url": kept if kept and target.startswith(kept.rstrip("/")) else target,
        "timeout": canonical_milliseconds(int(http.get("readTimeout") or HTTP["readTimeout"])),
        "retries": read_retries(definition),
    }
    headers: Sequence[Mapping[str, Any]] = shared.get("headers") or ()
    if len(headers) != 1 and (is_ours or not headers):
        return backend, bool(headers) or "auth" in marks
    header = headers[0]
    value = str(header.get("value", ""))
    backend["auth"] = {"in": "header", "name": str(header["name"]), "value": Secret(value)}
    return backend, is_ours and marks.get("auth") != fingerprint(value)


def _first_endpoint(definition: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    for group in definition.get("endpointGroups") or ():
        for endpoint in group.get("endpoints") or ():
            if endpoint.get("type") == PROXY:
                return group, endpoint
    raise ValueError("it has no HTTP endpoint")


def read_retries(definition: Mapping[str, Any]) -> int:
    """Return how often Gravitee's failover tries again."""
    failover = definition.get("failover") or {}
    if not failover.get("enabled"):
        return 0
    return int(failover.get("maxRetries", FAILOVER["maxRetries"]))


def failover_of(definition: JsonTree, api: Mapping[str, Any] | None) -> JsonTree:
    """Return the failover of a definition under construction, made at the first call."""
    held: JsonTree | None = definition.get("failover")
    if held is None:
        timeout = duration_ms(api["backend"]["timeout"]) if api else FAILOVER["slowCallDuration"]
        held = definition["failover"] = {
            "enabled": True,
            "maxRetries": 0,
            # A call that is slower counts as failed and is tried again.
            "slowCallDuration": timeout,
            "openStateDuration": FAILOVER["openStateDuration"],
            "maxFailures": NEVER_OPEN,
            "perSubscription": False,
        }
    return held


def backend_losses(backend: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Gravitee cannot say of a backend."""
    if _PLAIN_URL.fullmatch(backend["url"]) is None:
        yield Loss(
            "the backend's URL: Gravitee's endpoints take http and https, without braces",
            at=("backend", "url"),
        )
    if "fallback" in backend:
        yield Loss(
            "Gravitee has no other backend for answers that a document calls failed",
            at=("backend", "fallback"),
        )
    loss = milliseconds_loss(backend["timeout"], "the timeout", ("backend", "timeout"))
    if loss is not None:
        yield loss
    auth = backend.get("auth")
    if auth is None:
        return
    at = ("backend", "auth")
    if auth["in"] != "header":
        yield Loss("a credential in the query: Gravitee's endpoints add headers", at=at)
    elif auth["name"].lower() in FRAMING:
        yield Loss(f"the header {auth['name']}: it would break the connection", at=at)
    value = auth.get("value")
    if isinstance(value, Secret) and value_fault(value.reveal()):
        yield Loss(f"the credential for the backend: {value_fault(value.reveal())}", at=at)
