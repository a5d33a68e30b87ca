"""The bearer token of the control API, and the principal of a request."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from stoa_gitops.control.problems import Handler, problem
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.model.secret import Secret

_PRINCIPAL: Final = web.RequestKey("principal", Principal)


@dataclass(slots=True)
class Credentials:
    """What callers must know, at this moment: both may be replaced while the process runs.

    Without a `webhook_secret` no webhooks are taken.
    """

    token: Secret
    webhook_secret: Secret | None = None


def requires_token(credentials: Credentials, open_paths: Collection[str]) -> Middleware:
    """Return a middleware that asks for the token, but for `open_paths`, in constant time.

    Who sent the right one is the principal of the request.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in open_paths:
            return await handler(request)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # Bytes that are no text arrive as surrogates: they are a wrong token, not an error of ours.
        expected = credentials.token.reveal().encode()
        raw = given.strip().encode("utf-8", "surrogateescape")
        # The scheme is case-insensitive: RFC 9110 §11.1.
        if scheme.lower() == "bearer" and hmac.compare_digest(raw, expected):
            request[_PRINCIPAL] = _caller(request, PrincipalKind.CONTROL_TOKEN)
            return await handler(request)
        return problem(
            401,
            "Unauthorized",
            "send `Authorization: Bearer <token>`; the token is STOA_CONTROL_TOKEN (or in its "
            "_FILE), or stands in control-token of the state folder",
            WWW_Authenticate='Bearer realm="stoa-gitops"',
        )

    return check


def principal_of(request: web.Request) -> Principal:
    """Return who asks: the holder of the token, or an anonymous caller without rights."""
    principal = request.get(_PRINCIPAL)
    return principal if principal is not None else _caller(request, PrincipalKind.ANONYMOUS)


def _caller(request: web.Request, kind: PrincipalKind) -> Principal:
    # One token is shared by all callers, so the address is all that tells them apart.
    subject = f"control from {request.remote or 'nowhere'}"
    if kind is PrincipalKind.ANONYMOUS:
        return Principal(subject, kind, rights=frozenset())
    return Principal(subject, kind)
