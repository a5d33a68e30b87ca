"""Liveness, readiness and metrics: what supervisors of the process ask for, without a token."""

from __future__ import annotations

from aiohttp import web

from stoa_gitops.control.bodies import NoQuery, StateView
from stoa_gitops.control.metrics import CONTENT_TYPE
from stoa_gitops.control.problems import Problem
from stoa_gitops.control.route import Access, ApiRequest, Raw, route


@route(
    "GET",
    "/health",
    "health",
    "Whether the process lives",
    response=StateView,
    failures=(503,),
    access=Access.OPEN,
)
async def get_health(request: ApiRequest[NoQuery, None]) -> StateView:
    """Answer that the loop turns; 503 names tasks in the background that do not run."""
    if failed := request.context.operations.failed_tasks():
        message = f"not running: {', '.join(failed)}; the log says why"
        raise Problem(503, "Service Unavailable", message, Retry_After="5")
    return StateView(status="ok")


@route(
    "GET",
    "/ready",
    "ready",
    "Whether every gateway had its first cycle",
    response=StateView,
    failures=(503,),
    access=Access.OPEN,
)
async def get_readiness(request: ApiRequest[NoQuery, None]) -> StateView:
    """Answer that every gateway had its first cycle, or 503."""
    if not request.context.operations.is_ready():
        message = "starting: not every gateway has had its first cycle"
        raise Problem(503, "Service Unavailable", message, Retry_After="1")
    return StateView(status="ready")


@route(
    "GET",
    "/metrics",
    "metrics",
    "Metrics in the text format of Prometheus",
    response=Raw("text/plain"),
    access=Access.OPEN,
)
async def get_metrics(request: ApiRequest[NoQuery, None]) -> web.Response:
    """Return the exposition of this moment."""
    return web.Response(body=request.context.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
