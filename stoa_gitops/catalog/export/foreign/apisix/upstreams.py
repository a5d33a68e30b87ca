"""Upstreams of Apache APISIX as the backends of an API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.translation import (
    TranslatedDocument,
    Translation,
    items_of,
    mapping_of,
)

_SCHEMES: Final = ("http", "https")
_PORTS: Final = {"http": 80, "https": 443}
_MOST_BACKENDS: Final = 64
_MOST_WEIGHT: Final = 1000
_KNOWN: Final = {
    "id", "name", "description", "labels", "nodes", "scheme", "retries", "timeout", "type",
}  # fmt: skip


def backend_spec(
    translation: Translation,
    document: TranslatedDocument,
    service: Mapping[str, Any],
    route: Mapping[str, Any],
    base: str,
) -> dict[str, Any]:
    """Return `backend` of an API's spec, and `backends` where several nodes share the requests.

    `base` is the path in front of that of a request, empty for none.
    """
    upstream = mapping_of(service.get("upstream"))
    scheme = str(upstream.get("scheme") or "http")
    shares = _shares(translation, document, scheme, base, _nodes(upstream.get("nodes")))
    if not shares:
        why = f"a backend of {scheme}" if scheme not in _SCHEMES else "an upstream without nodes"
        effect = f"the built-in echo answers until you write a URL: {why} cannot be called"
        shown = upstream.get("service_name") or scheme
        translation.leave_out("upstream", "", shown, effect, document)
        return {"backend": {"alias": "echo"}}
    rest = _common(translation, document, upstream, route, others=len(shares) - 1)
    if len(shares) == 1:
        return {"backend": {"url": next(iter(shares)), **rest}}
    spec: dict[str, Any] = {"backends": [{"url": u, "weight": w} for u, w in shares.items()]}
    if rest:
        spec["backend"] = rest
    balancing = str(upstream.get("type") or "roundrobin")
    if balancing == "least_conn":
        spec["loadBalancing"] = "least_connections"
    elif balancing != "roundrobin":
        effect = "the nodes get requests by their weights"
        translation.leave_out("upstream", "type", balancing, effect, document)
    return spec


def _shares(
    translation: Translation,
    document: TranslatedDocument,
    scheme: str,
    base: str,
    nodes: list[dict[str, Any]],
) -> dict[str, int]:
    """Return URLs with weights, of the nodes that requests go to while all are well."""
    if scheme not in _SCHEMES or not any(_weight(node) for node in nodes):
        return {}
    highest = max(_priority(node) for node in nodes if _weight(node))
    largest = max(_weight(node) for node in nodes)
    shares: dict[str, int] = {}
    for node in nodes:
        url = f"{_url(scheme, node)}{base}"
        shown = f"{node.get('host')}:{node.get('port')}"
        if _priority(node) != highest:
            effect = "left out: called only when the others fail; write it as backend.fallback"
            translation.leave_out("upstream", "nodes", shown, effect, document)
        elif url not in shares and len(shares) == _MOST_BACKENDS:
            effect = f"left out: an API has {_MOST_BACKENDS} backends at most"
            translation.leave_out("upstream", "nodes", shown, effect, document)
        else:
            weight = _weight(node)
            if largest > _MOST_WEIGHT and weight:
                weight = max(1, round(weight * _MOST_WEIGHT / largest))
            shares[url] = min(shares.get(url, 0) + weight, _MOST_WEIGHT)
    return shares


def _weight(node: Mapping[str, Any]) -> int:
    weight = node.get("weight", 1)
    return weight if isinstance(weight, int) and weight > 0 else 0


def _priority(node: Mapping[str, Any]) -> int:
    priority = node.get("priority", 0)
    return priority if isinstance(priority, int) else 0


def _common(
    translation: Translation,
    document: TranslatedDocument,
    upstream: Mapping[str, Any],
    route: Mapping[str, Any],
    *,
    others: int,
) -> dict[str, Any]:
    """Return what holds for each node: retries and the time limit."""
    backend: dict[str, Any] = {}
    # Unless a number is said, APISIX tries each other node once.
    retries = upstream.get("retries")
    if not isinstance(retries, int) or isinstance(retries, bool):
        retries = others
    if retries > 0:
        backend["retries"] = min(retries, 10)
    timeout = mapping_of(route.get("timeout")) or mapping_of(upstream.get("timeout"))
    seconds = timeout.get("read")
    if isinstance(seconds, int | float) and seconds > 0:
        backend["timeout"] = f"{max(1, round(seconds * 1000))}ms"
    if upstream.get("pass_host", "pass") != "node":
        effect = "left out: the backend gets its own host as Host"
        shown = upstream.get("upstream_host") or upstream.get("pass_host") or "pass"
        translation.leave_out("upstream", "pass_host", shown, effect, document)
    known = _KNOWN | {"pass_host", "upstream_host"}
    translation.leave_out_others("upstream", upstream, known, document)
    return backend


def _nodes(value: Any) -> list[dict[str, Any]]:
    """Return nodes in either form: a list of mappings, or `host:port` to weight."""
    if isinstance(value, Mapping):
        found = []
        for address, weight in value.items():
            host, _, port = str(address).rpartition(":")
            number = int(port) if port.isdecimal() else None
            found.append({"host": host or address, "port": number, "weight": weight})
        return found
    return [dict(node) for node in items_of(value) if node.get("host")]


def _url(scheme: str, node: Mapping[str, Any]) -> str:
    host, port = str(node["host"]), node.get("port")
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{scheme}://{host}" + ("" if port in (None, _PORTS[scheme]) else f":{port}")
