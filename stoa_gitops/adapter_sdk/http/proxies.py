"""Chooses the proxy of a request by the variables of the environment.

httpx makes URLs of the entries of NO_PROXY and raises InvalidURL at an IPv6 address or network; it
knows no networks, and ignores none of the variables that it cannot read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from stoa_gitops.adapter_sdk.http.auth import is_loopback
from stoa_gitops.errors import GatewayUnreachable

_SCHEMES = ("http", "https", "socks5", "socks5h")


def environment_proxy(url: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return the URL of the proxy for a URL, None where it is called directly.

    Variables are those of curl: `https_proxy`, `http_proxy` (under CGI not in capitals),
    `all_proxy` and `no_proxy`. Raises GatewayUnreachable for a proxy that cannot be used.
    """
    found = os.environ if environment is None else environment
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if is_loopback(url) or is_exempt(host, port, _variable(found, "no_proxy")):
        return None
    proxy = _variable(found, f"{parts.scheme}_proxy") or _variable(found, "all_proxy")
    if not proxy:
        return None
    whole = proxy if "://" in proxy else f"http://{proxy}"
    scheme = whole.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise GatewayUnreachable(
            f"the proxy of the environment is of the type {scheme[:20]}: there are "
            f"{', '.join(_SCHEMES)}"
        )
    if not _is_address(whole):
        raise GatewayUnreachable("the proxy of the environment is no URL with a host and a port")
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise GatewayUnreachable(
            "the proxy of the environment speaks SOCKS: install the extra `socks`"
            " (pip install 'stoa-gitops[socks]'), or exempt the gateway in NO_PROXY"
        )
    return whole


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_exempt(host: str, port: int, exempt: str) -> bool:
    """Whether NO_PROXY exempts a host: by name, domain, address or network, each with a port."""
    name = host.strip("[]").rstrip(".").lower()
    return any(
        _covers(entry.strip().lower(), name, port) for entry in exempt.replace(" ", ",").split(",")
    )


def _covers(entry: str, name: str, port: int) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    if entry.startswith("["):
        entry, _, rest = entry[1:].partition("]")
        if rest.removeprefix(":") not in ("", str(port)):
            return False
    elif entry.count(":") == 1:
        entry, _, only = entry.partition(":")
        if only != str(port):
            return False
    try:
        address = ip_address(name)
    except ValueError:
        domain = entry.removeprefix("*").removeprefix(".").rstrip(".")
        return bool(domain) and (name == domain or name.endswith(f".{domain}"))
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:
        return False


def _variable(environment: Mapping[str, str], name: str) -> str:
    # A web server under CGI sets HTTP_PROXY from a header of the caller (CVE-2016-5385).
    if name == "http_proxy" and "REQUEST_METHOD" in environment:
        return environment.get(name, "").strip()
    return (environment.get(name) or environment.get(name.upper()) or "").strip()
