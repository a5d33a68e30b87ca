"""The imaginary gateway of the template: services and limits, by id."""

from __future__ import annotations

from typing import Any

from aiohttp import web


class TemplateDouble:
    def __init__(self) -> None:
        self.things: dict[str, dict[str, dict[str, Any]]] = {"services": {}, "limits": {}}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/{collection}", self._list)
        app.router.add_put("/v1/{collection}/{id}", self._put)
        app.router.add_delete("/v1/{collection}/{id}", self._delete)
        return app

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "1.4"})

    def _store(self, request: web.Request) -> dict[str, dict[str, Any]]:
        return self.things[request.match_info["collection"]]

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(list(self._store(request).values()))

    async def _put(self, request: web.Request) -> web.Response:
        thing_id = request.match_info["id"]
        self._store(request)[thing_id] = {**await request.json(), "id": thing_id}
        return web.json_response({"id": thing_id})

    async def _delete(self, request: web.Request) -> web.Response:
        found = self._store(request).pop(request.match_info["id"], None)
        return web.Response(status=204 if found else 404)
