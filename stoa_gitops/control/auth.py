"""The bearer token of the control listener."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from stoa_gitops.control.problems import Handler, problem
from stoa_gitops.model.secret import Secret

OPEN_PATHS = frozenset({"/health", "/ready", "/metrics", "/v1/webhooks/git"})
"""Paths without a bearer token; the last one is authenticated by its signature."""


@dataclass(slots=True)
class Credentials:
    """What callers must know, at this moment: both may be replaced while the process runs.

    Without a `webhook_secret` no webhooks are taken.
    """

    token: Secret
    webhook_secret: Secret | None = None


def requires_token(credentials: Credentials) -> Middleware:
    """Return a middleware that lets OPEN_PATHS through and compares the token in constant time."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # Bytes that are no text arrive as surrogates: they are a wrong token, not an error of ours.
        expected = credentials.token.reveal().encode()
        raw = given.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() == "bearer" and hmac.compare_digest(raw, expected):
            return await handler(request)
        return problem(
            401,
            "Unauthorized",
            "send `Authorization: Bearer <token>`; the token is STOA_CONTROL_TOKEN (or in its _FILE), or stands in "
            "control-token of the state folder",
            WWW_Authenticate='Bearer realm="stoa-gitops"',
        )

    return check
