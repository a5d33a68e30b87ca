"""Answers of the Admin API before they become HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_STATUS = {5: 409, 6: 404, 8: 500, 12: 405}
# The error page of nginx, which answers before Kong's Lua sees a request.
_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n"
    "<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True)
class Response:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def response(self, version: str, escapes_slashes: bool) -> web.Response:
        headers = {"Server": f"kong/{version}", "X-Kong-Admin-Latency": "1", **self.headers}
        if self.body is None:
            return web.Response(status=self.status, headers=headers)
        if isinstance(self.body, str):
            return web.Response(
                status=self.status,
                text=self.body,
                content_type="text/html",
                charset="UTF-8",
                headers=headers,
            )
        text = json.dumps(self.body, ensure_ascii=False, separators=(",", ":"))
        if escapes_slashes:
            text = text.replace("/", "\\/")
        return web.Response(
            status=self.status,
            text=text,
            content_type="application/json",
            charset="utf-8",
            headers=headers,
        )


def message(status: int, text: str, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"message": text}, named)


def failed(body: dict[str, Any]) -> Response:
    """A body with Kong's own error code, under the HTTP status that belongs to it."""
    return Response(_STATUS.get(body["code"], 400), body)


def page(status: int, title: str) -> Response:
    """What the HTTP server in front of the API answers by itself."""
    return Response(status, _PAGE.format(f"{status} {title}"))


NOT_FOUND = message(404, "Not found")
NOT_ALLOWED = message(405, "Method not allowed")
INTERNAL_ERROR = message(500, "An unexpected error occurred")
BAD_JSON = message(400, "Cannot parse JSON body")
NO_CONTENT = Response(204)
