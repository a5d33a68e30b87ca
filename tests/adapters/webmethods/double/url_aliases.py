"""`/urlaliases`: further paths of APIs, by name and not by id."""

from __future__ import annotations

from aiohttp import web

from tests.adapters.webmethods.double.answers import Refused, Tree, object_of
from tests.adapters.webmethods.double.store import Store

_FIELDS = ("alias", "urlPath", "portList", "package", "apiId")


class UrlAliases:
    """Handlers of one double (vendor's description of administration, `URLAliasSettings`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, request: web.Request) -> web.Response:
        wanted = request.query.get("alias")
        if wanted is not None:
            return web.json_response({"urlAliases": [self._held(wanted)]})
        return web.json_response({"urlAliases": self._store.url_aliases.listed()})

    def _held(self, name: str) -> Tree:
        found = self._store.url_aliases.get(name)
        if found is None:
            raise Refused(404, f"Unable to find the resource: {name}")
        return found

    async def create(self, request: web.Request) -> web.Response:
        body = self._checked(await object_of(request))
        if body["alias"] in self._store.url_aliases:
            raise Refused(400, f"URL alias {body['alias']} already exists")
        return self._put(body, self._store.new_id())

    async def update(self, request: web.Request) -> web.Response:
        body = self._checked(await object_of(request))
        return self._put(body, self._held(body["alias"])["id"])

    def _put(self, body: Tree, key: str) -> web.Response:
        found = {"association": "1", **body, "id": key}
        return web.json_response(self._store.url_aliases.put(body["alias"], found))

    async def delete(self, request: web.Request) -> web.Response:
        name = self._held(request.query.get("alias", ""))["alias"]
        self._store.url_aliases.drop(name)
        return web.Response(status=200)

    @staticmethod
    def _checked(body: Tree) -> Tree:
        for name in ("alias", "package"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise Refused(400, f"Mandatory field {name} is missing")
        if not body.get("urlPath") and not body.get("portList"):
            raise Refused(400, "Either urlPath or portList must be specified")
        return {name: body[name] for name in _FIELDS if name in body}
