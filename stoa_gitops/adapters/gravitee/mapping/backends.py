"""Maps the backends of an API to an endpoint group with an endpoint for each, and back. Pure."""

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

_BALANCERS: Final = {
    "weighted": "WEIGHTED_ROUND_ROBIN", "round_robin": "ROUND_ROBIN", "random": "WEIGHTED_RANDOM",
}  # fmt: skip
_ALGORITHMS: Final = {theirs: ours for ours, theirs in _BALANCERS.items()} | {"RANDOM": "random"}

_USERINFO: Final = re.compile(r"://[^/\s@]*@")
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
    endpoints = [
        {
            "name": f"{ENDPOINT}-{number}" if number > 1 else ENDPOINT,
            "type": PROXY,
            "weight": weight,
            # From a group that has none, 4.10.8 refuses to inherit.
            "inheritConfiguration": bool(shared),
            "secondary": False,
            "configuration": {"target": target},
        }
        for number, (target, weight) in enumerate(_targets_of(api), 1)
    ]
    algorithm = "round_robin" if api is None else api["backend"].get("loadBalancing", "round_robin")
    group: JsonTree = {
        "name": GROUP,
        "type": PROXY,
        "loadBalancer": {"type": _BALANCERS[algorithm]},
        "endpoints": endpoints,
    }
    return [{**group, "sharedConfiguration": shared} if shared else group]


def _targets_of(api: Mapping[str, Any] | None) -> list[tuple[str, int]]:
    """Return the URLs that requests go to, with their weights."""
    if api is None:
        return [(STUB, 1)]
    targets = api["backend"].get("targets")
    if targets is None:
        return [(target_of(api), 1)]
    return [(str(target["url"]), int(target["weight"])) for target in targets]


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
    group = _first_group(definition)
    targets = sorted(_read_targets(group), key=lambda target: str(target["url"]))
    target = str(targets[0]["url"])
    shared = group.get("sharedConfiguration") or {}
    http = shared.get("http") or {}
    kept = marks.get("url", "")
    backend: JsonTree = {
        "url": kept if kept and target.startswith(kept.rstrip("/")) else target,
        "timeout": canonical_milliseconds(int(http.get("readTimeout") or HTTP["readTimeout"])),
        "retries": read_retries(definition),
    }
    if len(targets) > 1:
        balancer = (group.get("loadBalancer") or {}).get("type", "ROUND_ROBIN")
        backend |= {"targets": targets, "loadBalancing": _ALGORITHMS.get(balancer, balancer)}
    headers: Sequence[Mapping[str, Any]] = shared.get("headers") or ()
    if len(headers) != 1 and (is_ours or not headers):
        return backend, bool(headers) or "auth" in marks
    header = headers[0]
    value = str(header.get("value", ""))
    backend["auth"] = {"in": "header", "name": str(header["name"]), "value": Secret(value)}
    return backend, is_ours and marks.get("auth") != fingerprint(value)


def _first_group(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    for group in definition.get("endpointGroups") or ():
        if any(endpoint.get("type") == PROXY for endpoint in group.get("endpoints") or ()):
            found: Mapping[str, Any] = group
            return found
    raise ValueError("it has no HTTP endpoint")


def _read_targets(group: Mapping[str, Any]) -> Iterator[JsonTree]:
    for endpoint in group["endpoints"]:
        if endpoint.get("type") != PROXY:
            continue
        target = str((endpoint.get("configuration") or {}).get("target") or "")
        if not target:
            raise ValueError("its endpoint has no target")
        # No document has a URL with a password in it (schema of the API).
        yield {"url": _USERINFO.sub("://", target), "weight": int(endpoint.get("weight", 1))}


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


def backend_losses(
    backend: Mapping[str, Any], routes: Sequence[Mapping[str, Any]]
) -> Iterator[Loss]:
    """Yield what Gravitee cannot say of a backend, for an API with these routes."""
    targets = backend.get("targets", ())
    if not all(map(_PLAIN_URL.fullmatch, [backend["url"], *(one["url"] for one in targets)])):
        yield Loss(
            "the backend's URL: Gravitee's endpoints take http and https, without braces",
            at=("backend", "targets") if targets else ("backend", "url"),
        )
    if targets:
        yield from _balancing_losses(backend, routes)
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


def _balancing_losses(
    backend: Mapping[str, Any], routes: Sequence[Mapping[str, Any]]
) -> Iterator[Loss]:
    at = ("backend", "targets")
    if backend["loadBalancing"] not in _BALANCERS:
        message = f"{backend['loadBalancing']}: Gravitee balances in turn, by weight or by chance"
        yield Loss(message, at=("backend", "loadBalancing"))
    if any(target["weight"] == 0 for target in backend["targets"]):
        yield Loss("a weight of 0: Gravitee's begin at 1, so leave that backend out", at=at)
    if len(backend["targets"]) == 1:
        yield Loss("health checks of one backend: this version writes none", at=at)
    if routes and not all(route["stripPath"] for route in routes):
        # The path of the route would be part of each target, and could not be told from its own.
        yield Loss("several backends of a route whose path is kept", at=at)
