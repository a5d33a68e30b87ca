"""How a webMethods API Gateway answers: error bodies, HTML, bodies that it takes."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

Tree = dict[str, Any]

HTML = "<!DOCTYPE html><html><head><title>webMethods</title></head><body>{}</body></html>"
NO_PERMISSION = "User doesn't have permission to manage this API"


class Refused(Exception):
    """A refusal; `details` begins with a blank on the wire, as the product's texts do."""

    def __init__(self, status: int, details: str | None = None, **more: Any) -> None:
        super().__init__(details)
        self.status = status
        self.body: Tree = {"errorDetails": None if details is None else f" {details}", **more}

    def response(self) -> web.Response:
        return web.json_response(self.body, status=self.status)


def html(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=HTML.format(text), content_type="text/html")


def unknown() -> Refused:
    """What an id that nobody has gets, also from an administrator (contract 0.6)."""
    return Refused(401, NO_PERMISSION)


def unprocessable() -> Refused:
    return Refused(
        400, "Unable to create the resource. Error in processing the payload. Invalid JSON."
    )


async def json_of(request: web.Request) -> Any:
    text = await request.text()
    try:
        return json.loads(text)
    except ValueError:
        raise Refused(400, "Error in processing the payload. It is no JSON.") from None


async def object_of(request: web.Request) -> Tree:
    found = await json_of(request)
    if not isinstance(found, dict):
        raise unprocessable()
    return found


def csv(request: web.Request, name: str) -> list[str] | None:
    """The items of a query parameter such as `apiIds=a,b`; None where it is absent."""
    value = request.query.get(name)
    return None if value is None else [one for one in value.split(",") if one]


def number(request: web.Request, name: str, default: int) -> int:
    try:
        return int(request.query.get(name, default))
    except ValueError:
        raise Refused(400, f"Invalid value for {name}") from None
