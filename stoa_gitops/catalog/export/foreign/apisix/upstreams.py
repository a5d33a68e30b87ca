"""Upstreams of Apache APISIX as the backend of an API."""

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
_KNOWN: Final = {
    "id", "name", "description", "labels", "nodes", "scheme", "retries", "timeout", "type",
}  # fmt: skip


def find_backend(
    translation: Translation,
    document: TranslatedDocument,
    service: Mapping[str, Any],
    route: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the backend of a service: the node that most requests go to."""
    upstream = mapping_of(service.get("upstream"))
    scheme = str(upstream.get("scheme") or "http")
    nodes = [node for node in _nodes(upstream.get("nodes")) if node.get("weight", 1)]
    if scheme not in _SCHEMES or not nodes:
        why = f"a backend of {scheme}" if scheme not in _SCHEMES else "an upstream without nodes"
        effect = f"the built-in echo answers until you write a URL: {why} cannot be called"
        shown = upstream.get("service_name") or scheme
        translation.leave_out("upstream", "", shown, effect, document)
        return {"alias": "echo"}
    nodes.sort(key=lambda node: (node.get("priority", 0), node.get("weight", 1)), reverse=True)
    first, *rest = nodes
    for node in rest:
        shown = f"{node.get('host')}:{node.get('port')}"
        effect = "left out: an API has one backend; name a balancer in front of them"
        translation.leave_out("upstream", "nodes", shown, effect, document)
    backend: dict[str, Any] = {"url": _url(scheme, first)}
    # Unless a number is said, APISIX tries each other node once.
    retries = upstream.get("retries")
    if isinstance(retries, int) and not isinstance(retries, bool) and retries > 0:
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
