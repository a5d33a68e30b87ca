"""The application of the control listener. It reads values that the reconciler publishes; it decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from stoa_gitops.control.auth import requires_token
from stoa_gitops.control.problems import as_problems
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Views:
    """What the endpoints read: readiness, and the document of `GET /v1/status`."""

    is_ready: Callable[[], bool]
    status: Callable[[], JsonObject]


VIEWS = web.AppKey("views", Views)


def build(*, token: Secret, views: Views) -> web.Application:
    """Return the application; all but health, readiness and metrics need the token."""
    application = web.Application(middlewares=[as_problems, requires_token(token)])
    application[VIEWS] = views
    application.router.add_get("/health", _health)
    application.router.add_get("/ready", _ready)
    application.router.add_get("/v1/status", _status)
    return application


def _json(value: JsonObject, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, dumps=lambda v: json.dumps(v, sort_keys=True))


async def _health(_: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    is_ready = request.app[VIEWS].is_ready()
    return _json({"status": "ready" if is_ready else "starting"}, 200 if is_ready else 503)


async def _status(request: web.Request) -> web.Response:
    return _json(request.app[VIEWS].status())
