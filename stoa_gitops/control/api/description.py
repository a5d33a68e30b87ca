"""The description of the control API itself."""

from __future__ import annotations

from functools import cache

from aiohttp import web

from stoa_gitops.control.documents import NoQuery
from stoa_gitops.control.route import ApiRequest, Raw, route


@route(
    "GET", "/openapi.json", "openapi", "This document", response=Raw("application/json", {})
)  # fmt: skip
async def get_description(_: ApiRequest[NoQuery, None]) -> web.Response:
    """Return openapi.json."""
    return web.Response(text=_text(), content_type="application/json")


@cache
def _text() -> str:
    # Late: the description is made from all routes, this one included.
    from stoa_gitops.control import openapi

    return openapi.text()
