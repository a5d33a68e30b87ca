"""The identity provider of an operator, whose tokens this gateway checks (`STOA_KEYCLOAK_*`).

Clients know it by one address, which its tokens name as issuer; the gateway may reach it by another
one, inside of a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.environment import read_text
from stoa_proxy.foundation.urls import check_url

URL: Final = "STOA_KEYCLOAK_URL"
INTERNAL_URL: Final = "STOA_KEYCLOAK_INTERNAL_URL"
_REALM = "STOA_KEYCLOAK_REALM"

VARIABLES: Final = frozenset({URL, INTERNAL_URL, _REALM})
"""All variables that `realm_from_env` reads."""


@dataclass(frozen=True, slots=True)
class Realm:
    """A realm: `public` and `internal` are addresses of its server, without a trailing slash."""

    public: str
    internal: str
    path: str

    @property
    def issuer(self) -> str:
        """What tokens have as `iss`."""
        return self.public + self.path

    @property
    def discovery_url(self) -> str:
        """Where the realm describes itself, at the internal address."""
        return f"{self.internal}{self.path}/.well-known/openid-configuration"

    def is_described(self, issuer: object) -> bool:
        """Whether a description is this realm's; a server may name the address it was asked at."""
        return issuer in (self.issuer, self.internal + self.path)

    def internal_url(self, url: str) -> str | None:
        """Return where to fetch a URL of the description; None for one of another server."""
        for base in (self.internal, self.public):
            if url.startswith(f"{base}/"):
                return self.internal + url.removeprefix(base)
        return None


def realm_from_env(env: Mapping[str, str]) -> Realm | None:
    """Return the realm of STOA_KEYCLOAK_*, None without STOA_KEYCLOAK_URL.

    Raises ConfigInvalid.
    """
    public, internal = read_text(env, URL), read_text(env, INTERNAL_URL)
    realm = quote(read_text(env, _REALM) or "stoa", safe="")
    for name, url in ((URL, public), (INTERNAL_URL, internal)):
        if url is not None:
            check_url(name, url)
    if public is None:
        if internal is not None:
            raise ConfigInvalid(f"{INTERNAL_URL} needs {URL}, which tokens name as their issuer")
        return None
    public = public.rstrip("/")
    return Realm(public, (internal or public).rstrip("/"), f"/realms/{realm}")
