"""Gateways: their status, a plan for one, and what may be asked of it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from stoa_gitops.control.bodies import (
    ForgottenView,
    GatewayQuery,
    NoQuery,
    ReconcileAcceptedView,
    ReconcileRequest,
    Suspension,
)
from stoa_gitops.control.route import ApiRequest, route
from stoa_gitops.operations.output_views import PlanView
from stoa_gitops.operations.views import GatewayDetailView, GatewayPage, StatusView
from stoa_gitops.report.json_output import plan_json

PLAN_SECONDS: Final = 180.0
"""A plan observes a gateway first, which the driver bounds by 130 s."""


@route("GET", "/v1/status", "status", "The catalog and every gateway", response=StatusView)
async def get_status(request: ApiRequest[NoQuery, None]) -> StatusView:
    """Return the status of the process."""
    return await request.context.operations.status()


@route(
    "GET",
    "/v1/gateways",
    "gateways",
    "Gateways, sorted by name, orphaned ones too",
    query=GatewayQuery,
    response=GatewayPage,
)
async def list_gateways(request: ApiRequest[GatewayQuery, None]) -> GatewayPage:
    """Return a page of gateways; the cursor is the last name."""
    gateways = await request.context.operations.gateways()
    rest = [gateway for gateway in gateways if gateway.name > request.query.cursor]
    # A name as cursor, not a number: a gateway that comes or goes shifts no page.
    page = rest[: request.query.limit]
    return GatewayPage(items=page, next=page[-1].name if len(rest) > len(page) else None)


@route(
    "GET",
    "/v1/gateways/{name}",
    "gateway",
    "One gateway, with its quarantine and last cycle",
    response=GatewayDetailView,
    failures=(404,),
)
async def get_gateway(request: ApiRequest[NoQuery, None]) -> GatewayDetailView:
    """Return one gateway."""
    return await request.context.operations.gateway(request.gateway)


@route(
    "GET",
    "/v1/gateways/{name}/plan",
    "plan",
    "A fresh plan; observes the gateway and writes nothing",
    response=PlanView,
    failures=(404, 503),
    seconds=PLAN_SECONDS,
)
async def get_plan(request: ApiRequest[NoQuery, None]) -> web.Response:
    """Return a fresh plan, as `plan --output json` prints it."""
    plans = await request.context.operations.plan(request.gateway)
    return web.Response(text=plan_json(plans), content_type="application/json")


@route(
    "POST",
    "/v1/gateways/{name}/reconcile",
    "reconcile",
    "Have the gateway reconciled now, and a held plan applied if it is forced",
    body=ReconcileRequest,
    response=ReconcileAcceptedView,
    success=202,
    failures=(404, 409, 503),
    seconds=PLAN_SECONDS,
)
async def request_reconcile(
    request: ApiRequest[NoQuery, ReconcileRequest],
) -> ReconcileAcceptedView:
    """Ask for a cycle of a gateway; returns before it runs."""
    operations = request.context.operations
    await operations.reconcile(request.gateway, request.principal, request.body.force)
    return ReconcileAcceptedView(status="accepted", gateway=request.gateway)


@route(
    "POST",
    "/v1/gateways/{name}/suspend",
    "suspend",
    "Stop its cycles, also after a restart",
    body=Suspension,
    response=GatewayDetailView,
    failures=(404,),
)
async def suspend_gateway(request: ApiRequest[NoQuery, Suspension]) -> GatewayDetailView:
    """Stop the cycles of a gateway."""
    operations = request.context.operations
    # The response shows the gateway after the change, conditions included.
    await operations.suspend(request.gateway, request.principal, request.body.reason)
    return await operations.gateway(request.gateway)


@route(
    "POST",
    "/v1/gateways/{name}/resume",
    "resume",
    "Start its cycles again",
    response=GatewayDetailView,
    failures=(404, 409),
)
async def resume_gateway(request: ApiRequest[NoQuery, None]) -> GatewayDetailView:
    """Start the cycles of a gateway again."""
    operations = request.context.operations
    await operations.resume(request.gateway, request.principal)
    return await operations.gateway(request.gateway)


@route(
    "POST",
    "/v1/gateways/{name}/forget",
    "forget",
    "Drop a gateway that registered itself, until it registers again",
    response=ForgottenView,
    failures=(404, 409, 503),
)
async def forget_gateway(request: ApiRequest[NoQuery, None]) -> ForgottenView:
    """Drop a registered gateway."""
    await request.context.operations.forget(request.gateway, request.principal)
    return ForgottenView(status="forgotten", gateway=request.gateway)
