"""Connections beyond their bounds: what the server needs to know of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware

from stoa_gitops.control.problems import Handler, problem

_ALL: Final = "all connections of this listener are at work"
_CLIENT: Final = (
    "your address has all connections that one may have: STOA_CONTROL_MAX_CONNECTIONS_PER_CLIENT"
)


class Shares(Protocol):
    """Counts connections, and closes idle ones for new ones; the data plane's are the same."""

    def admit(self, new: Any) -> None:
        """Count a new connection; closes another, or this one, where that is one too many."""
        ...

    def touch(self, connection: Any) -> None:
        """Note that a connection's client sent something."""
        ...

    def remove(self, connection: Any) -> None:
        """Count a connection no more."""
        ...

    def exempt(self, connection: Any) -> None:
        """Count a connection in the bound of all only, and not in that of its client."""
        ...

    def refusal(self, connection: Any) -> Any:
        """Return a value where a connection is beyond a bound; its `value` is `client` or `all`."""
        ...


Refusal: TypeAlias = Callable[[web.Request], web.Response | None]
"""Returns the response to a request that is refused, None for any other."""


def refuses(*rules: Refusal) -> Middleware:
    """Return a middleware that answers with the refusal of the first rule that has one."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        for refusal in rules:
            response = refusal(request)
            if response is not None:
                return response
        return await handler(request)

    return check


def excess(shares: Shares, is_exempt: Callable[[web.Request], bool]) -> Refusal:
    """Return what lets connections beyond the bounds have exempt requests only."""

    def find(request: web.Request) -> web.Response | None:
        found = None if is_exempt(request) else shares.refusal(request.protocol)
        if found is None:
            return None
        if found.value == "client":
            response = problem(429, "Too Many Requests", _CLIENT, Retry_After="1")
        else:
            response = problem(503, "Service Unavailable", _ALL, Retry_After="1")
        response.force_close()
        return response

    return find
