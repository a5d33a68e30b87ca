"""Backends: parsed once when they are configured, never put together from strings later."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from sys import intern
from urllib.parse import urlsplit

from stoa_proxy.errors import BackendInvalid, RequestRefused
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.upstream_tls import UpstreamTls
from stoa_proxy.http.targets import read_segments

BUILTIN_ECHO = "builtin:echo"
# Visible ASCII without the backslash, which browsers and some libraries read as a slash.
_VISIBLE = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
# By RFC 1123 without underscores, which names of Docker Compose may have.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# The last label of what the WHATWG URL standard reads as an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# The text of STOA gateway 0.9.25.
_PRIVATE = "URLs pointing to localhost, RFC 1918, link-local, or IPv6 loopback are not allowed"


Origin = tuple[str, str, int, UpstreamTls | None]
"""Scheme, host and port, and who the gateway is there."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A parsed `http` or `https` URL.

    `host` is lower case and without brackets; `base_path` is empty or begins with `/`, as it was
    written; `base_query` is raw, without `?`. `tls` is None where the usual holds: no certificate,
    and the system's issuers.
    """

    scheme: str
    host: str
    port: int
    base_path: str
    base_query: str
    tls: UpstreamTls | None = None

    @property
    def url(self) -> str:
        """The whole as text, without its query, which may hold a credential."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.base_path}"

    @property
    def origin(self) -> Origin:
        """What can be reached or not, and what connections are kept for."""
        return self.scheme, self.host, self.port, self.tls


@dataclass(frozen=True, slots=True)
class BuiltinEcho:
    """The backend that responds with what it received (`builtin:echo`)."""


Upstream = Backend | BuiltinEcho


def parse_upstream(text: str, guard: AddressGuard) -> Upstream:
    """Parse `builtin:echo` or a URL, and check a literal address in it.

    Raises BackendInvalid for other schemes, user info, a fragment, a host that is not a name or
    a canonical address, dot segments, and literal addresses that the guard refuses.
    """
    if text == BUILTIN_ECHO:
        return BuiltinEcho()
    backend = _parse_url(text)
    _check_literal(backend.host, guard)
    return backend


def _parse_url(text: str) -> Backend:
    if _VISIBLE.fullmatch(text) is None:
        raise BackendInvalid("the URL holds a character that has no place in one")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BackendInvalid("the URL cannot be parsed") from None
    if parts.scheme not in ("http", "https"):
        raise BackendInvalid("only http and https URLs and builtin:echo are allowed")
    if "@" in parts.netloc:
        raise BackendInvalid("user info in the URL is not allowed: use backend_auth")
    if "#" in text:
        raise BackendInvalid("a fragment in the URL is not allowed")
    if port == 0:
        raise BackendInvalid("port 0 cannot be called")
    host = _read_host(parts.hostname or "")
    if parts.path:
        _check_path(parts.path)
    default = 443 if parts.scheme == "https" else 80
    base = "" if parts.path == "/" else parts.path
    return Backend(intern(parts.scheme), host, port or default, intern(base), parts.query)


def _check_path(path: str) -> None:
    try:
        read_segments(path)
    except RequestRefused as refused:
        raise BackendInvalid(refused.detail) from None


def _read_host(host: str) -> str:
    if not host:
        raise BackendInvalid("the URL has no host")
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except ValueError:
            raise BackendInvalid("the host is not an IPv6 address") from None
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1 and 127.1 are addresses to some resolvers and names to others.
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise BackendInvalid(_PRIVATE, private=True) from None
    # RFC 1035, 2.3.4: 255 octets on the wire, which are 253 characters of text.
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BackendInvalid("the host is not a name (write international names in punycode)")
    return host


def _check_literal(host: str, guard: AddressGuard) -> None:
    # RFC 6761, 6.3: `localhost` and all names below it are loopback.
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        if guard.refusal("127.0.0.1") and guard.refusal("::1"):
            raise BackendInvalid(_PRIVATE, private=True)
        return
    try:
        ip_address(host)
    except ValueError:
        return  # a name: its addresses are checked when they are connected to
    if guard.refusal(host):
        raise BackendInvalid(_PRIVATE, private=True)
