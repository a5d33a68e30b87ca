"""What registered gateways fetch, and what they say of it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from stoa_gitops.control.api.registrations import check_environment, member_of
from stoa_gitops.control.auth import Access
from stoa_gitops.control.fleet_port import Acknowledged, Published, TableAcknowledged
from stoa_gitops.control.problems import Problem
from stoa_gitops.control.route import ApiRequest, Raw, route
from stoa_gitops.control.wire import (
    AnyQuery,
    GatewayConfigView,
    GatewayNameQuery,
    PolicyAckBody,
    PolicyAckView,
    RouteAckBody,
    RouteAckView,
    SyncedRoute,
    TableAckBody,
)

MAX_ACK: Final = 4 * 1024 * 1024

_JSON_LINES: Final = "application/x-ndjson"
_FAILURES: Final = (403, 404, 409)


@route(
    "GET",
    "/v1/internal/gateways/routes",
    "gatewayRoutes",
    "The routes of one gateway, once they are known to be right",
    access=Access.GATEWAY_KEY,
    query=GatewayNameQuery,
    response=Raw("application/json", {}),
    failures=_FAILURES,
    is_lenient=True,
)
async def get_routes(request: ApiRequest[GatewayNameQuery, None]) -> web.Response:
    """Return the routes of a gateway. What is not known is no empty list: that would empty it."""
    name = request.query.gateway_name
    if not name:
        raise Problem(422, "Unprocessable Content", "gateway_name: say whose routes")
    fleet = request.context.fleet
    member = fleet.find(name)
    if member is None:
        raise Problem(404, "Not Found", "no gateway of this name is registered: register first")
    check_environment(request, member.registration.environment)
    published = await fleet.publications.routes(member.registration.id)
    return _response(request.raw, published, "application/json")


@route(
    "GET",
    "/v1/internal/gateways/{id}/table",
    "gatewayTable",
    "The whole table of a gateway with the extension `table`, as JSON lines",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    response=Raw(_JSON_LINES),
    failures=_FAILURES,
    is_lenient=True,
)
async def get_table(request: ApiRequest[AnyQuery, None]) -> web.Response:
    """Return the table of a gateway."""
    member = member_of(request)
    published = await request.context.fleet.publications.table(member.registration.id)
    return _response(request.raw, published, _JSON_LINES)


@route(
    "GET",
    "/v1/internal/gateways/{id}/config",
    "gatewayConfig",
    "The deployments and policies of one gateway",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    response=GatewayConfigView,
    failures=_FAILURES,
    is_lenient=True,
)
async def get_config(request: ApiRequest[AnyQuery, None]) -> GatewayConfigView:
    """Return what a gateway is to have."""
    member = member_of(request)
    registration = member.registration
    config = await request.context.fleet.publications.config(registration.id)
    return GatewayConfigView(
        gateway_id=registration.id,
        name=registration.name,
        environment=registration.environment,
        tenant_id=registration.tenant_id or None,
        pending_deployments=[dict(one) for one in config.deployments],
        pending_policies=[dict(one) for one in config.policies],
    )


@route(
    "POST",
    "/v1/internal/gateways/{id}/route-sync-ack",
    "acknowledgeRoutes",
    "What a gateway did with the routes that it fetched",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    body=RouteAckBody,
    response=RouteAckView,
    failures=(403, 404),
    is_lenient=True,
    max_body=MAX_ACK,
)
async def acknowledge_routes(request: ApiRequest[AnyQuery, RouteAckBody]) -> RouteAckView:
    """Take an acknowledgement of routes; those of others are counted as not found."""
    member = member_of(request)
    acks = [_route_ack(one) for one in request.body.synced_routes]
    publications = request.context.fleet.publications
    own = await publications.acknowledge(member.registration.id, acks)
    return RouteAckView(processed=own, not_found=len(acks) - own)


@route(
    "POST",
    "/v1/internal/gateways/{id}/sync-ack",
    "acknowledgePolicies",
    "What a gateway did with the policies that it fetched",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    body=PolicyAckBody,
    response=PolicyAckView,
    failures=(403, 404),
    is_lenient=True,
    max_body=MAX_ACK,
)
async def acknowledge_policies(request: ApiRequest[AnyQuery, PolicyAckBody]) -> PolicyAckView:
    """Take an acknowledgement of policies."""
    member = member_of(request)
    acks = [
        Acknowledged(one.policy_id, "policy", one.status.lower(), None, one.error)
        for one in request.body.synced_policies
    ]
    await request.context.fleet.publications.acknowledge(member.registration.id, acks)
    counts = {status: sum(ack.status == status for ack in acks) for status in _STATUSES}
    return PolicyAckView(gateway_id=member.registration.id, **counts)


@route(
    "POST",
    "/v1/internal/gateways/{id}/table-ack",
    "acknowledgeTable",
    "What a gateway did with the table that it fetched",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    body=TableAckBody,
    response=None,
    success=204,
    failures=(403, 404),
    is_lenient=True,
    max_body=MAX_ACK,
)
async def acknowledge_table(request: ApiRequest[AnyQuery, TableAckBody]) -> None:
    """Take an acknowledgement of a table."""
    member, body = member_of(request), request.body
    if body.status not in ("applied", "failed"):
        raise Problem(422, "Unprocessable Content", "status: applied or failed")
    refused = tuple(
        Acknowledged(one.id, one.kind, "failed", body.generation, one.error) for one in body.objects
    )
    ack = TableAcknowledged(
        body.etag.removeprefix("W/").strip('"'), body.generation, body.status, body.error, refused
    )
    await request.context.fleet.publications.acknowledge_table(member.registration.id, ack)


_STATUSES: Final = ("applied", "removed", "failed")


def _route_ack(sent: SyncedRoute) -> Acknowledged:
    """Return an acknowledgement; one with a failed step failed, whatever it says of itself."""
    status, error = sent.status.lower(), sent.error
    failed = next((step for step in sent.steps or () if step.status.lower() == "failed"), None)
    if failed is not None:
        status, error = "failed", failed.detail or error or f"{failed.name} failed"
    return Acknowledged(sent.deployment_id, "route", status, sent.generation, error)


def _response(request: web.Request, published: Published, media: str) -> web.Response:
    tag = f'"{published.etag}"'
    # `no-cache` lets a client keep it and asks it to compare the tag each time: RFC 9111 §5.2.2.4.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if _matches(request.headers.get("If-None-Match", ""), published.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=published.body, content_type=media, headers=headers)


def _matches(header: str, etag: str) -> bool:
    """Whether a list of If-None-Match names this tag: RFC 9110 §13.1.2, weak comparison."""
    given = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in given or f'"{etag}"' in given
