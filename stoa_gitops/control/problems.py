"""Errors of the control listener as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(status: int, title: str, detail: str, **headers: str) -> web.Response:
    """Return an answer with a problem body; `headers` use underscores for dashes."""
    return web.Response(
        status=status,
        text=json.dumps(
            {"type": "about:blank", "title": title, "status": status, "detail": detail}
        ),
        content_type="application/problem+json",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what aiohttp raises (404, 405, 413) into problems; anything else is a bare 500."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(405, "Method Not Allowed", f"use {allowed}", Allow=allowed)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem(error.status, error.reason, f"{request.method} {request.path}")
