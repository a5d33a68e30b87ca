"""The description of the control API itself."""

from __future__ import annotations

from aiohttp import web

from stoa_gitops.control.bodies import NoQuery
from stoa_gitops.control.route import DESCRIPTION, ApiRequest, Raw, route


@route("GET", "/openapi.json", "openapi", "This document", response=Raw("application/json", {}))
async def get_description(request: ApiRequest[NoQuery, None]) -> web.Response:
    """Return openapi.json."""
    return web.Response(text=request.raw.app[DESCRIPTION], content_type="application/json")
