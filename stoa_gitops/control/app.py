"""The aiohttp application of the control listener, made from the routes of `control.api`."""

from __future__ import annotations

from aiohttp import web

from stoa_gitops.control import openapi
from stoa_gitops.control.admission import Shares, refuses_excess
from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.auth import requires_token
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.hosts import HostNames, checks_host
from stoa_gitops.control.problems import as_problems
from stoa_gitops.control.route import DESCRIPTION, MAX_BODY, PROBES, Access, bind, checks_requests
from stoa_gitops.control.server import limits_time


def build(context: ApiContext, names: HostNames, shares: Shares) -> web.Application:
    """Return the application; every route needs the token unless its access says otherwise.

    The order of middlewares: errors become problems outermost, then time is limited, then come the
    bounds of connections and the name that was called, then the token is asked for, and only then
    queries and bodies are looked at.
    """
    seconds = {route.path: route.seconds for route in ROUTES if route.seconds is not None}
    open_paths = frozenset(route.path for route in ROUTES if route.access is not Access.BEARER)
    signed = {route.path for route in ROUTES if route.access is Access.SIGNATURE}
    application = web.Application(
        middlewares=[
            as_problems,
            limits_time(seconds),
            refuses_excess(shares, PROBES),
            checks_host(names, PROBES | signed),
            requires_token(context.credentials, open_paths),
            checks_requests(ROUTES),
        ],
        client_max_size=MAX_BODY,
    )
    application[DESCRIPTION] = openapi.text()
    application.on_response_prepare.append(_set_server)
    for route in ROUTES:
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            application.router.add_route(
                method, route.path, bind(route, context), expect_handler=_continue
            )
    return application


async def _continue(request: web.Request) -> None:
    """Ask for the body of a client that waits for that; other expectations may be ignored.

    RFC 9110 §10.1.1.
    """
    if request.headers.get("Expect", "").strip().lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # aiohttp counts the bytes of the response from here on


async def _set_server(_: web.Request, response: web.StreamResponse) -> None:
    """Say who answers, without the versions of Python and aiohttp that the library would tell."""
    response.headers["Server"] = "stoa-gitops"
