"""Which route a request matches, and so who may send it: the one place that says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.auth import Access
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.problems import INTERNAL
from stoa_gitops.control.route import Route, bind

_ANY_NAME: Final = (Access.SIGNATURE, Access.GATEWAY_KEY, Access.OPTIONAL_KEY)
"""What no page in a browser can send, or what tells it nothing."""


def is_internal(route: Route) -> bool:
    """Whether a route is for gateways alone, and no public listener has it."""
    return route.path.startswith(INTERNAL)


PUBLIC_ROUTES: Final = tuple(route for route in ROUTES if not is_internal(route))
"""What a listener for an ingress has."""


class RouteTable:
    """The routes of one application, by what its router found."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._by_match: dict[web.AbstractRoute, Route] = {}

    def add_to(self, application: web.Application, context: ApiContext) -> None:
        """Give all routes to the router of the application; HEAD goes where GET does."""
        for route in self.routes:
            handler = bind(route, context)
            methods = (route.method, "HEAD") if route.method == "GET" else (route.method,)
            for method in methods:
                # STOA's gateway sends `//v1/internal/…` where the URL that it was given ends with a
                # slash: recorded with 0.9.25.
                for path in (route.path, "/" + route.path):
                    match = application.router.add_route(
                        method, path, handler, expect_handler=_continue
                    )
                    self._by_match[match] = route

    def find(self, request: web.Request) -> Route | None:
        """Return the route of a request; None for an unknown path or method."""
        return self._by_match.get(request.match_info.route)

    async def access(self, request: web.Request) -> Access | None:
        """Return who may send this request; None where no credentials change the response.

        A method that a path lacks is asked for what its others are; an unknown path for the token,
        so that strangers do not learn which there are, but where INTERNAL is a part of it. A STOA
        gateway whose URL of the control plane has a path calls `/path/v1/internal/…`, takes a 401
        for a wrong key, and never registers again until its restart.
        """
        route = self.find(request)
        if route is not None:
            return route.access
        error = request.match_info.http_exception
        if isinstance(error, web.HTTPMethodNotAllowed):
            other = request.clone(method=min(error.allowed_methods))
            match = await request.app.router.resolve(other)
            return self._by_match[match.route].access
        return None if INTERNAL in request.path else Access.BEARER

    def seconds(self, request: web.Request) -> float | None:
        """Return the bound of the handler's time; None for the server's own."""
        route = self.find(request)
        return route.seconds if route is not None else None

    def is_probe(self, request: web.Request) -> bool:
        """Whether a supervisor asks, who is answered whenever and by any name."""
        route = self.find(request)
        return route is not None and route.is_probe

    def comes_by_any_name(self, request: web.Request) -> bool:
        """Whether a request may carry any name in `Host`."""
        route = self.find(request)
        return route is not None and (route.is_probe or route.access in _ANY_NAME)


async def _continue(request: web.Request) -> None:
    """Ask for the body of a client that waits for that; other expectations may be ignored.

    RFC 9110 §10.1.1.
    """
    if request.headers.get("Expect", "").strip().lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # aiohttp counts the bytes of the response from here on
