"""The backend's own credential of a route: a fixed one, or where tokens are to be had."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

AUTHORIZATION = "Authorization"


@dataclass(frozen=True, slots=True)
class BackendAuth:
    """A credential that is sent as it is, in a header or in the query (`location`).

    `value` None means that it could not be resolved.
    """

    location: str
    name: str
    value: str | None = field(repr=False)

    @property
    def is_resolved(self) -> bool:
        """Whether the credential is here."""
        return self.value is not None

    def without_secret(self) -> BackendAuth:
        """Return what is left of it on disk."""
        return replace(self, value=None)

    def as_body(self) -> Mapping[str, object]:
        """Return it as the admin API takes it, credential included."""
        return {"in": self.location, "name": self.name, "value": self.value}


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """A user name and a password (RFC 7617); `password` None could not be resolved."""

    username: str | None = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def location(self) -> str:
        """Where it goes."""
        return "header"

    @property
    def name(self) -> str:
        """The name of the header."""
        return AUTHORIZATION

    @property
    def is_resolved(self) -> bool:
        """Whether user name and password are here."""
        return self.username is not None and self.password is not None

    @property
    def value(self) -> str | None:
        """What the header holds."""
        if self.username is None or self.password is None:
            return None
        # RFC 7617, 2.1: UTF-8, whatever the backend's challenge says of it.
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def without_secret(self) -> BasicAuth:
        """Return what is left of it on disk."""
        return replace(self, username=None, password=None)

    def as_body(self) -> Mapping[str, object]:
        """Return it as the admin API takes it, credential included."""
        return {"type": "basic", "username": self.username, "password": self.password}


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Where a client gets tokens for itself (RFC 6749, 4.4), which go into `Authorization`.

    `client_secret` None means that it could not be resolved. Equal ones share a token.
    """

    token_url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        """Where the token goes."""
        return "header"

    @property
    def name(self) -> str:
        """The name of the header."""
        return AUTHORIZATION

    @property
    def is_resolved(self) -> bool:
        """Whether the secret is here."""
        return self.client_secret is not None

    def without_secret(self) -> ClientCredentials:
        """Return what is left of it on disk."""
        return replace(self, client_secret=None)

    def as_body(self) -> Mapping[str, object]:
        """Return it as the admin API takes it, credential included."""
        return {
            "type": "oauth2_client_credentials",
            "token_url": self.token_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scopes": list(self.scopes),
        }


AnyBackendAuth = BackendAuth | BasicAuth | ClientCredentials
