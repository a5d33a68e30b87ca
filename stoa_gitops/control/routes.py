"""The one table of routes: the router, the checks of queries and bodies, and openapi.json are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from aiohttp import web

from stoa_gitops.control.problems import Handler, Problem
from stoa_gitops.model.canonical import JsonObject

MAX_BODY: Final = 16 * 1024
"""Bytes of a body where a route says nothing else."""

PLAN_SECONDS: Final = 180.0
"""A plan observes a gateway first, which the driver bounds by 130 s."""

NAME: Final = "name"
BEARER, SIGNATURE, OPEN = "bearer", "signature", "open"
Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query: its JSON Schema, and what it means."""

    schema: JsonObject
    description: str


LIMIT: Final = Parameter(
    {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}, "items on one page"
)
CURSOR: Final = Parameter({"type": "string", "maxLength": 200}, "`next` of the page before")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    handler    name of the function that answers
    result     media type and JSON Schema of success; None for a schema where it is no JSON
    success    status of success
    failures   statuses of problems beside those that every route may answer
    body       JSON Schema of a body that may be sent; None takes none
    access     who may call: with the bearer token, with a signature, or everybody
    """

    method: str
    path: str
    handler: str
    summary: str
    result: tuple[str, JsonObject | None]
    success: int = 200
    failures: tuple[int, ...] = ()
    query: Mapping[str, Parameter] = field(default_factory=dict)
    body: JsonObject | None = None
    access: str = BEARER
    seconds: float | None = None
    max_body: int = MAX_BODY


def _json(name: str) -> tuple[str, JsonObject]:
    return "application/json", {"$ref": f"#/components/schemas/{name}"}


def _page(name: str) -> tuple[str, JsonObject]:
    return "application/json", {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            "next": {"type": ["string", "null"], "description": "cursor of the next page"},
        },
    }


REASON: Final[JsonObject] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"reason": {"type": "string", "maxLength": 500}},
}
_ONE: Final = "/v1/gateways/{name}"

ROUTES: Final = (
    Route(
        "GET", "/health", "health", "Whether the process lives", _json("State"),
        failures=(503,), access=OPEN,
    ),
    Route(
        "GET", "/ready", "ready", "Whether every gateway had its first cycle", _json("State"),
        failures=(503,), access=OPEN,
    ),
    Route(
        "GET", "/metrics", "metrics", "Metrics in the text format of Prometheus",
        ("text/plain", None), access=OPEN,
    ),
    Route("GET", "/openapi.json", "openapi", "This document", ("application/json", {})),
    Route("GET", "/v1/status", "status", "The catalog and every gateway", _json("Status")),
    Route(
        "GET", "/v1/gateways", "gateways", "Gateways, sorted by name, orphaned ones too",
        _page("Gateway"), query={"limit": LIMIT, "cursor": CURSOR},
    ),
    Route(
        "GET", _ONE, "gateway", "One gateway, with its quarantine and last cycle",
        _json("GatewayDetail"), failures=(404,),
    ),
    Route(
        "GET", f"{_ONE}/plan", "plan", "A fresh plan; observes the gateway and writes nothing",
        ("application/json", {"description": "schemas/output/plan.json", "type": "object"}),
        failures=(404, 503), seconds=PLAN_SECONDS,
    ),
    Route(
        "POST", f"{_ONE}/reconcile", "reconcile", "Have the gateway worked now",
        _json("Accepted"), success=202, failures=(404, 409),
    ),
    Route(
        "POST", f"{_ONE}/suspend", "suspend", "Stop its cycles, also after a restart",
        _json("GatewayDetail"), failures=(404,), body=REASON,
    ),
    Route(
        "POST", f"{_ONE}/resume", "resume", "Start its cycles again",
        _json("GatewayDetail"), failures=(404, 409),
    ),
    Route(
        "GET", "/v1/audit", "audit", "Who did what, newest first", _page("AuditEntry"),
        query={
            "gateway": Parameter({"type": "string", "maxLength": 63}, "only this gateway"),
            "limit": LIMIT,
            "cursor": CURSOR,
        },
    ),
    Route(
        "POST", "/v1/webhooks/git", "webhook",
        "A Git server has news: the catalog is read again at once", _json("Accepted"),
        success=202, failures=(404,), access=SIGNATURE, seconds=30.0, max_body=25 * 1024 * 1024,
    ),
)  # fmt: skip
"""Every route of the listener."""

BY_PLACE: Final = {(route.method, route.path): route for route in ROUTES}


def route_of(request: web.Request) -> Route | None:
    """Return the table's row for a request; None where nothing matched."""
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return BY_PLACE.get((method, resource.canonical)) if resource else None


@web.middleware
async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse queries and bodies that the table does not have, before anything is done."""
    route = route_of(request)
    if route is None:
        return await handler(request)
    _check_query(request, route)
    if (request.content_length or 0) > route.max_body:
        message = f"a body has {route.max_body} bytes at most here"
        raise Problem(413, "Content Too Large", message, closes=True)
    if route.access is not SIGNATURE and request.can_read_body:
        body = await request.read()  # bounded by client_max_size
        if body and route.body is None:
            raise Problem(400, "Bad Request", "this takes no body")
    return await handler(request)


def _check_query(request: web.Request, route: Route) -> None:
    for name in request.query:
        if name not in route.query:
            there = ", ".join(route.query) or "none"
            raise Problem(
                400, "Bad Request", f"no query parameter {name!r} here; there is: {there}"
            )
        if len(request.query.getall(name)) > 1:
            raise Problem(400, "Bad Request", f"{name} is given more than once")
