"""Liveness, readiness and metrics: what supervisors of the process ask for, without a token."""

from __future__ import annotations

from aiohttp import web

from stoa_gitops.control.auth import Access
from stoa_gitops.control.bodies import NoQuery, StateView
from stoa_gitops.control.metrics import CONTENT_TYPE
from stoa_gitops.control.problems import Problem
from stoa_gitops.control.route import ApiRequest, Raw, route


@route(
    "GET",
    "/health",
    "health",
    "Whether the process lives",
    response=StateView,
    access=Access.OPEN,
    is_probe=True,
)
async def get_health(_: ApiRequest[NoQuery, None]) -> StateView:
    """Answer that the process does, whatever else is wrong: `/ready` and the status say what.

    STOA's gateway takes itself out of rotation for anything but 2xx here: seen with 0.9.25.
    """
    return StateView(status="ok")


@route(
    "GET",
    "/ready",
    "ready",
    "Whether every gateway had its first cycle, and nothing is wrong in the process itself",
    response=StateView,
    failures=(503,),
    access=Access.OPEN,
    is_probe=True,
)
async def get_readiness(request: ApiRequest[NoQuery, None]) -> StateView:
    """Answer that every gateway had its first cycle, or 503, which also names failed tasks."""
    operations = request.context.operations
    if failed := operations.failed_tasks():
        message = f"not running: {', '.join(failed)}; the log says why"
        raise Problem(503, "Service Unavailable", message, Retry_After="5")
    if not operations.is_ready():
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
