"""The aiohttp application of the control listener, made from the routes of `control.api`."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from stoa_gitops.control import openapi
from stoa_gitops.control.admission import Shares, excess, refuses
from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.api.registrations import refuses_key
from stoa_gitops.control.auth import authorises
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.hosts import HostNames, misdirected
from stoa_gitops.control.problems import as_problems
from stoa_gitops.control.route import DESCRIPTION, MAX_BODY, Route, checks_requests
from stoa_gitops.control.route_table import RouteTable
from stoa_gitops.control.server import limits_time


def build(
    context: ApiContext,
    names: HostNames,
    shares: Shares,
    routes: Iterable[Route] = ROUTES,
) -> web.Application:
    """Return the application; the access of each route says who may call it.

    The order of middlewares: errors become problems outermost, then time is limited, then come the
    bounds of connections and the name that was called, then credentials are asked for, and only
    then queries and bodies are looked at.
    """
    table = RouteTable(routes)
    application = web.Application(
        middlewares=[
            as_problems,
            limits_time(table.seconds),
            refuses(excess(shares, table.is_probe), misdirected(names, table.comes_by_any_name)),
            authorises(context.credentials, table.access, refuses_key(context)),
            checks_requests(table.find),
        ],
        client_max_size=MAX_BODY,
    )
    application[DESCRIPTION] = openapi.text(table.routes)
    application.on_response_prepare.append(_set_server)
    table.add_to(application, context)
    return application


async def _set_server(_: web.Request, response: web.StreamResponse) -> None:
    """Say who answers, without the versions of Python and aiohttp that the library would tell."""
    response.headers["Server"] = "stoa-gitops"
