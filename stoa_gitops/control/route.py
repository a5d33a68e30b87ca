"""Routes of the control API: one decorator on a handler says everything that is true of it.

    @route("GET", "/v1/gateways", "gateways", "Gateways, sorted by name",
           query=GatewayQuery, response=GatewayPage)
    async def list_gateways(request: ApiRequest[GatewayQuery, None]) -> GatewayPage: ...

The router, the checks of token, query and body, and openapi.json are made from it. A handler gets
its query and body parsed, and returns the document of success; it raises Problem, or an error of
the package, for everything else.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeAlias, TypeVar

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import BaseModel, ValidationError

from stoa_gitops.control.auth import Access, principal_of
from stoa_gitops.control.bodies import NoQuery
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.problems import Handler, Problem
from stoa_gitops.control.turns import Turns
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.principal import Principal
from stoa_gitops.operations.views import View

MAX_BODY: Final = 16 * 1024
"""Bytes of a body where a route says nothing else."""

LARGE_BODY: Final = 64 * 1024
"""Bytes from which on a body waits for its turn."""

DESCRIPTION: Final = web.AppKey("description", str)
"""openapi.json, kept by the application: it is made from all routes, its own included."""


_CONTENT: Final = web.RequestKey("content", bytes)
_MAX_ERRORS: Final = 5
_MAX_KEY: Final = 100

QueryT = TypeVar("QueryT", bound=BaseModel)
BodyT = TypeVar("BodyT")


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[QueryT, BodyT]):
    """A request that passed all checks of its route."""

    context: ApiContext
    principal: Principal
    query: QueryT
    body: BodyT
    raw: web.Request
    content: bytes = b""

    @property
    def gateway(self) -> str:
        """The gateway in the path, `{name}`."""
        return self.raw.match_info["name"]

    def limit_tenant(self, asked: str | None) -> str | None:
        """Return the tenant whose things are shown, None for all.

        Raises Problem (403) where somebody who speaks for one tenant asks for another one.
        """
        own = self.principal.tenant
        if own is not None and asked not in (None, own):
            raise Problem(403, "Forbidden", "the token is of another tenant")
        return own if own is not None else asked


# By identity: a schema has no hash, and routes have one.
@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """A response that is no View: its media type, and its JSON Schema if it is JSON."""

    media: str
    schema: JsonObject | None = None


RouteHandler: TypeAlias = Callable[
    [ApiRequest[Any, Any]], Awaitable[View | web.StreamResponse | None]
]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    operation  operationId of openapi.json: a public name
    response   model of success; None for no content
    success    status of success
    failures   statuses of problems beside those that every route may answer
    query      model of the query; its fields are the parameters
    body       model of a body that may be sent; None takes none
    seconds    bound of the handler's time, reading the body included; None for the server's own
    is_probe   for supervisors, who call by any name and whenever: it tells nothing of the catalog
    is_lenient unknown fields and parameters are ignored, and a wrong body is 422: as STOA's control
               plane does, whose gateways send what they like
    parses     whether the body is parsed before the handler; else it is `content` only
    """

    method: str
    path: str
    operation: str
    summary: str
    handler: RouteHandler
    response: type[BaseModel] | Raw | None
    success: int = 200
    failures: tuple[int, ...] = ()
    access: Access = Access.BEARER
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    seconds: float | None = None
    max_body: int = MAX_BODY
    is_probe: bool = False
    is_lenient: bool = False
    parses: bool = True


def route(
    method: str, path: str, operation: str, summary: str, **properties: Any
) -> Callable[[RouteHandler], Route]:
    """Make a Route of the function below; `properties` are the other fields of Route."""

    def make(handler: RouteHandler) -> Route:
        return Route(method, path, operation, summary, handler, **properties)

    return make


def bind(route: Route, context: ApiContext) -> Handler:
    """Return the function that aiohttp calls for a route."""

    async def respond(request: web.Request) -> web.StreamResponse:
        query, content = _parse_query(route, request), request.get(_CONTENT, b"")
        body = _parse_body(route, content) if route.parses else None
        asked = ApiRequest(context, principal_of(request), query, body, request, content)
        result = await route.handler(asked)
        if result is None:
            return web.Response(status=route.success)
        response = json_response(result, route.success) if isinstance(result, View) else result
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return respond


def json_response(view: View, status: int = 200) -> web.Response:
    """Return a document with sorted keys."""
    text = json.dumps(view.document(), sort_keys=True)
    return web.Response(text=text, status=status, content_type="application/json")


def checks_requests(find: Callable[[web.Request], Route | None]) -> Middleware:
    """Return a middleware that refuses unknown parameters and unasked bodies before any work."""

    turns = Turns()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = find(request)
        if route is None:  # a path that does not exist is the router's to refuse
            return await handler(request)
        _check_parameters(request, route)
        length = request.content_length
        if length is not None and length > route.max_body:
            raise Problem(413, "Content Too Large", _too_large(route.max_body), closes=True)
        # What is signed is read by its handler, piece by piece.
        if route.access is Access.SIGNATURE or not request.can_read_body:
            return await handler(request)
        # A chunked body tells no length before.
        is_large = (route.max_body if length is None else length) > LARGE_BODY
        gateway = request.match_info.get("id", "")
        async with turns.turn(request.remote or "", gateway) if is_large else nullcontext():
            content = await _read_body(request, route.max_body)
            if content and route.body is None and not route.is_lenient:
                raise Problem(400, "Bad Request", "this takes no body")
            request[_CONTENT] = content
            return await handler(request)

    return check


def _check_parameters(request: web.Request, route: Route) -> None:
    if route.is_lenient:
        return
    known = [field.alias or name for name, field in route.query.model_fields.items()]
    for name in request.query:
        if name not in known:
            existing = ", ".join(known) or "none"
            raise Problem(
                400, "Bad Request", f"no query parameter {name!r} here; there is: {existing}"
            )
        if len(request.query.getall(name)) > 1:
            raise Problem(400, "Bad Request", f"{name} is given more than once")


async def _read_body(request: web.Request, most: int) -> bytes:
    """Return the body; a chunked one tells no length before."""
    pieces, size = [], 0
    while piece := await request.content.readany():
        size += len(piece)
        if size > most:
            raise Problem(413, "Content Too Large", _too_large(most), closes=True)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(most: int) -> str:
    return f"a body has {most} bytes at most here"


def _parse_query(route: Route, request: web.Request) -> BaseModel:
    if not request.query_string:
        return _without_query(route.query)
    try:
        return route.query.model_validate(dict(request.query))
    except ValidationError as error:
        first = _first_error(error)
        # Our own parsers say it in words, with the name; pydantic puts this in front of them.
        is_own, message = first["type"] == "value_error", first["msg"]
        message = (
            message.removeprefix("Value error, ")
            if is_own
            else f"{_place(first['loc'])}: {message}"
        )
        raise Problem(400, "Bad Request", message) from None


@cache
def _without_query(model: type[BaseModel]) -> BaseModel:
    return model()


def _parse_body(route: Route, content: bytes) -> BaseModel | None:
    if route.body is None:
        return None
    try:
        return route.body.model_validate_json(content) if content else route.body()
    except ValidationError as error:
        if route.is_lenient:
            raise unprocessable(error) from None
        first = _first_error(error)
        where = _place(first["loc"])
        raise Problem(400, "Bad Request", f"{where}: {first['msg']}") from None


def unprocessable(error: ValidationError) -> Problem:
    """Return the problem of a body whose fields are wrong, naming the first of them."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    texts = [
        f"{_place(one['loc'])}: {one['msg'].removeprefix('Value error, ')}"
        for one in found[:_MAX_ERRORS]
    ]
    if len(found) > _MAX_ERRORS:
        texts.append(f"and {len(found) - _MAX_ERRORS} more")
    return Problem(422, "Unprocessable Content", "; ".join(texts))


def _place(parts: Sequence[int | str]) -> str:
    """Return where in a body something is wrong.

    A part may be a key of the sender's own choice: with a line break it would be a line of its own
    in the log of refused registrations, and it may be as long as the body.
    """
    shown = (str(part)[:_MAX_KEY] for part in parts)
    texts = (part if part.isprintable() else ascii(part) for part in shown)
    return ".".join(texts) or "the body"


def _first_error(error: ValidationError) -> Any:
    """Return the first error, without what was sent: that may be a secret in the wrong place."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]
