"""Errors of the control listener as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from stoa_gitops.control.process_port import Conflict, NotReady
from stoa_gitops.errors import GatewayUnknown, StoaGitopsError, StoreError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CONTENT_TYPE = "application/problem+json"

INTERNAL: Final = "/v1/internal/"
"""Below it are routes of gateways: those of a public listener are all others."""


class Problem(Exception):
    """An error response, raised anywhere and turned into a response by `as_problems`.

    `headers` use underscores for dashes; `closes` ends the connection: a body was left unread.

        raise Problem(503, "Service Unavailable", "starting", Retry_After="1")
    """

    def __init__(
        self, status: int, title: str, detail: str, *, closes: bool = False, **headers: str
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.closes = closes
        self.headers = headers


def problem(status: int, title: str, detail: str, **headers: str) -> web.Response:
    """Return a response with a problem body; `headers` use underscores for dashes."""
    return web.Response(
        status=status,
        text=json.dumps(
            # RFC 9457 §4.2.1: with "about:blank" the title is that of the status.
            {"type": "about:blank", "title": title, "status": status, "detail": detail}
        ),
        content_type=CONTENT_TYPE,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever is raised into a problem; of an internal error the response shows nothing."""
    try:
        return await handler(request)
    except Problem as error:
        response = problem(error.status, error.title, error.detail, **error.headers)
        if error.closes:
            response.force_close()
        return response
    except web.HTTPException as error:
        return _library_problem(request, error)
    except StoaGitopsError as error:
        return _error_problem(request, error)
    except Exception:
        log.exception("unexpected error in %s %s", request.method, request.path)
        return problem(500, "Internal Server Error", "the log of the process says more")


def _library_problem(request: web.Request, error: web.HTTPException) -> web.Response:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return problem(405, "Method Not Allowed", f"use {allowed}", Allow=allowed)
        case web.HTTPNotFound():
            paths = sorted({r.canonical.replace("//", "/") for r in request.app.router.resources()})
            return problem(404, "Not Found", f"no such path; there is {', '.join(paths)}")
        case web.HTTPRequestEntityTooLarge():
            response = problem(413, "Content Too Large", "the body is larger than is taken here")
            response.force_close()
            return response
        case _:
            return problem(error.status, error.reason, f"{request.method} {request.path}")


def _error_problem(request: web.Request, error: StoaGitopsError) -> web.Response:
    match error:
        case StoreError() if INTERNAL in request.path:
            # Its message names files of this machine, and whoever asks is a gateway elsewhere.
            detail = "the store of the control plane is out of reach; its log says more"
            return problem(503, "Service Unavailable", detail, Retry_After="2")
        case GatewayUnknown():
            return problem(404, "Not Found", str(error))
        case Conflict():
            return problem(409, "Conflict", str(error))
        case NotReady() | StoreError():
            return problem(503, "Service Unavailable", str(error), Retry_After="2")
        case _:
            # What is left are errors of gateways and the catalog: of servers behind this one.
            return problem(502, "Bad Gateway", str(error))
