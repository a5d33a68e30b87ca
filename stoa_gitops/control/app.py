"""The application of the control listener, made from the table of routes. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from stoa_gitops.control import handlers, openapi
from stoa_gitops.control.auth import Credentials, requires_token
from stoa_gitops.control.metrics import Metrics
from stoa_gitops.control.operations import Operations
from stoa_gitops.control.problems import as_problems
from stoa_gitops.control.routes import MAX_BODY, ROUTES, Answer, checked
from stoa_gitops.control.server import keeps_time
from stoa_gitops.control.webhooks import Deliveries


@dataclass(frozen=True, slots=True)
class ApiContext:
    """What every handler works with."""

    operations: Operations
    metrics: Metrics
    clock: Callable[[], datetime]
    credentials: Credentials
    deliveries: Deliveries = field(default_factory=Deliveries)
    description: str = field(default_factory=openapi.text)


def build(desk: ApiContext) -> web.Application:
    """Return the application; all but health, readiness, metrics and webhooks need the token.

    The order of middlewares: errors become problems outermost, then time is kept, then the token is
    asked for, and only then queries and bodies are looked at.
    """
    seconds = {route.path: route.seconds for route in ROUTES if route.seconds is not None}
    application = web.Application(
        middlewares=[as_problems, keeps_time(seconds), requires_token(desk.credentials), checked],
        client_max_size=MAX_BODY,
    )
    application.on_response_prepare.append(_named)
    for route in ROUTES:
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            application.router.add_route(
                method, route.path, _bound(route.handler, desk), expect_handler=_expected
            )
    return application


async def _expected(request: web.Request) -> None:
    """Ask for the body where a client waits for that; other expectations need not be met (RFC 9110, 10.1.1)."""
    if request.headers.get("Expect", "").strip().lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the library counts the answer from here on


async def _named(_: web.Request, response: web.StreamResponse) -> None:
    """Say who answers, without the versions that the library would tell everybody."""
    response.headers["Server"] = "stoa-gitops"


def _bound(name: str, desk: ApiContext) -> Answer:
    function = getattr(handlers, name)

    async def respond(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = await function(request, desk)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return respond
