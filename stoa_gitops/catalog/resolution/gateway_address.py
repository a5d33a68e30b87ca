"""Tells whether two gateways have one address: they would delete each other's objects in turn."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from stoa_gitops.model.instances import GatewayInstance

_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = "localhost"

# Options that name a part of a node with objects of its own, behind one address.
_PARTS: Final = ("workspace", "organization", "environment", "account", "region", "project")


def address_of(gateway: GatewayInstance) -> tuple[str, ...]:
    """Return what gateways with one admin API have in common, as far as documents show it.

    The case of the host, the default port, slashes at the end and names of loopback addresses make
    no difference.
    """
    parts = tuple(str(gateway.options.get(name, "")) for name in _PARTS)
    return (_normalised(gateway.base_url), *parts)


def _normalised(url: str) -> str:
    try:
        split = urlsplit(url.strip())
        port = split.port or _PORTS.get(split.scheme.lower(), 0)
    except ValueError:
        return url
    host = (split.hostname or "").rstrip(".")
    path = "/".join(part for part in split.path.split("/") if part)
    query = f"?{split.query}" if split.query else ""
    return f"{split.scheme.lower()}://{_canonical_host(host)}:{port}/{path}{query}"


def _canonical_host(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_local = host == _LOOPBACK or host.endswith(f".{_LOOPBACK}")
        return _LOOPBACK if is_local else host
    mapped = getattr(address, "ipv4_mapped", None) or address
    return _LOOPBACK if mapped.is_loopback else str(mapped)
