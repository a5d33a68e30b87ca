"""What the real STOA gateway, which names no extensions, does with paths and backend URLs. Pure.

Everything here was seen of STOA gateway 0.9.25 in mode edge-mcp. It compares the decoded path with
`path_prefix` letter for letter, takes the longest prefix, and joins `backend_url` without its last
slashes and the rest of the path as texts.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from stoa_gitops.adapters.stoa.usual_urls import is_usual_url
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API
from stoa_gitops.model.losses import Loss

OWN_PATHS: Final = (
    "/.well-known/agent.json", "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource", "/.well-known/openid-configuration", "/a2a/*",
    "/admin/*", "/health", "/health/live", "/health/ready", "/hegemon/*", "/mcp/*", "/metrics",
    "/oauth/*", "/proxy/*", "/ready", "/soap/*", "/v1/chat/completions", "/v1/messages",
    "/v1/messages/count_tokens", "/ws/*",
)  # fmt: skip
"""Paths that it answers itself, before it looks at routes; `/*` covers everything below, too."""

_OWN_FIRST: Final = frozenset(path.split("/")[1] for path in OWN_PATHS)
"""First segments of these: any other path covers none of them, and lies below none."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
"""Methods that it forwards; any other one gets 405 `Method not allowed`."""

_REFUSED_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/32", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.168.0.0/16", "255.255.255.255/32", "::/128", "::1/128", "fc00::/7",
    )
)  # fmt: skip


def joinable_url(url: str) -> str:
    """Return a backend URL that keeps its host, whatever a caller writes behind the prefix.

    `http://host` and `@evil:80/` are joined to `http://host@evil:80/`, which is another host. With
    the path `/.` the rest begins inside the path, where `@` and `:` mean nothing (RFC 3986 §3.3),
    and the dot goes when the URL is normalised (§5.2.4).
    """
    parts = urlsplit(url)
    if parts.path.strip("/") or not parts.netloc:
        return url
    return parts._replace(path="/.").geturl()


def plain_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    """Return what of an API the gateway never matches, answers itself, or forwards wrongly."""
    if kind != API:
        return ()
    value: Any = spec
    return tuple(_losses(value))


def fetching_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    """Return the same for a gateway that fetches its routes: these may call a backend trusted."""
    if kind != API:
        return ()
    value: Any = spec
    return tuple(_losses(value, is_trusted=True))


def possible_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    """Return the same for a gateway that was not asked yet: it may be ours, which has none."""
    return tuple(
        Loss(f"without the extensions of our data plane, {loss.message}", loss.is_partial)
        for loss in plain_losses(kind, spec)
    )


def _losses(spec: Mapping[str, Any], *, is_trusted: bool = False) -> Iterator[Loss]:
    for route in spec["routes"]:
        yield from _path_losses(route["path"])
        if not METHODS.issuperset(route["methods"]):
            refused = sorted(set(route["methods"]) - METHODS)
            yield Loss(
                f"it refuses {', '.join(refused)} with 405 on every route",
                is_partial=len(refused) < len(route["methods"]),
            )
    yield from _repeated_paths(spec["routes"])
    url = str(spec["backend"]["url"])
    if not is_usual_url(url):
        yield from _url_losses(url, is_trusted=is_trusted)


def _repeated_paths(routes: Sequence[Mapping[str, Any]]) -> Iterator[Loss]:
    if len(routes) == 1:
        return
    for path, count in Counter(route["path"] for route in routes).items():
        if count > 1:
            yield Loss(
                f"it takes any one of {count} routes with the path {path}, whatever their methods"
            )


def _url_losses(url: str, *, is_trusted: bool) -> Iterator[Loss]:
    backend = urlsplit(url)
    if backend.query:
        yield Loss("it puts the query of a backend's URL before the rest of the path")
    if not is_trusted and _is_refused(backend.hostname or ""):
        yield Loss(f"it refuses the backend {backend.hostname}: a loopback or private address")


def _is_refused(host: str) -> bool:
    """Return whether the admin API answers a backend at this host with 400, as it was seen to.

    Names are not resolved there, and other special addresses (fe80::/10, IPv4 inside IPv6, shared
    and multicast ones) are taken.
    """
    if host == "localhost":
        return True
    try:
        # A name of digits in the forms of inet_aton is an IPv4 address: 0x7f.1, 2130706433.
        address = ipaddress.ip_address(host if ":" in host else socket.inet_aton(host))
    except (OSError, ValueError, UnicodeError):
        return False
    return any(address in network for network in _REFUSED_NETWORKS)


def _path_losses(path: str) -> Iterator[Loss]:
    if path == "/":
        yield Loss("it cannot have `/` as a path: it forwards /orders to <backend>orders")
        return
    if "%" in path:
        yield Loss(f"it never matches {path}: it compares the decoded path with the letters of it")
        return
    if path[1:].partition("/")[0] not in _OWN_FIRST:
        return
    own = next((name for name in OWN_PATHS if _covers(name, path)), None)
    if own is not None:
        yield Loss(f"it answers {path} itself ({own})")
        return
    below = [name for name in OWN_PATHS if name.removesuffix("/*").startswith(f"{path}/")]
    if below:
        yield Loss(f"below {path} it answers {', '.join(below)} itself", is_partial=True)


def _covers(own: str, path: str) -> bool:
    base = own.removesuffix("/*")
    return path == base or (own.endswith("/*") and path.startswith(f"{base}/"))
