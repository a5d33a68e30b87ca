"""The parts of a backend's URL as Kong's service has them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from stoa_gitops.adapters.kong.mapping.losses import Inexpressible

PORTS: Final = {"http": 80, "https": 443}
# `pchar` and `/` of RFC 3986 §3.3; empty segments are refused apart.
_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~:@!$&'()*+,;=/-]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a backend's URL; `path` is empty for the root."""

    protocol: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The canonical spelling: a port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if PORTS.get(self.protocol) == self.port else f":{self.port}"
        return f"{self.protocol}://{host}{port}{self.path}"


@lru_cache(maxsize=1024)
def address_of(url: str) -> Address:
    """Parse a backend's URL; raises Inexpressible for what Kong's service has no field for."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Inexpressible("the backend's URL cannot be read") from None
    if not host:
        raise Inexpressible(f"Kong has no backend {url} of its own")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise Inexpressible("a service of Kong has a path, and neither query nor fragment")
    if "@" in parts.netloc:
        raise Inexpressible("the backend's URL carries credentials: write `auth` for them")
    if "//" in parts.path or _PATH.fullmatch(parts.path) is None:
        raise Inexpressible(
            "the path of the backend's URL: Kong takes ASCII without empty segments"
        )
    path = "" if parts.path == "/" else parts.path
    return Address(parts.scheme, host, port or PORTS.get(parts.scheme, 80), path)


def normal_url(url: str) -> str:
    """Return the spelling in which Kong gives a URL back; one that Kong cannot hold as it is."""
    try:
        return address_of(url).url
    except Inexpressible:
        return url
