"""What hangs below an API: global policies, sources, endpoints, portals, mocks, tracing."""

from __future__ import annotations

from aiohttp import web

from tests.adapters.webmethods.double.answers import Refused, Tree
from tests.adapters.webmethods.double.scopes_of_policies import is_selected
from tests.adapters.webmethods.double.store import Store


class PartsOfApis:
    """Handlers of one double."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _api(self, request: web.Request) -> Tree:
        return self._store.record("apis", request.match_info["id"])

    async def global_policies(self, request: web.Request) -> web.Response:
        api = self._api(request)
        found = [one["id"] for one in self._store.policies
                 if one["global"] and one["active"]
                 and (one["systemPolicy"] or is_selected(one, api))]  # fmt: skip
        return web.json_response({"globalPolicies": found})

    async def scopes(self, request: web.Request) -> web.Response:
        return web.json_response({"scopes": self._api(request)["scopes"]})

    async def source(self, request: web.Request) -> web.Response:
        api = self._api(request)
        kind = "text/xml" if api["type"] == "SOAP" else "application/json"
        return web.Response(text=self._store.sources[api["id"]], content_type=kind)

    async def endpoints(self, request: web.Request) -> web.Response:
        api = self._api(request)
        at = f"http://localhost:5555/gateway/{api['apiName']}/{api['apiVersion']}"
        return web.json_response({"gatewayEndPoints": [at] if api["isActive"] else []})

    async def publish(self, request: web.Request) -> web.Response:
        api = self._api(request)
        self._store.apis.touch(api["id"])
        is_on = request.match_info["verb"] == "publish"
        api["publishedPortals"] = ["portal"] if is_on else []
        return self._done(api)

    async def mock(self, request: web.Request) -> web.Response:
        api = self._api(request)
        if api["isActive"]:
            raise Refused(400, "API is active. Deactivate the API to mock it.")
        self._store.apis.touch(api["id"])
        api["mockService"] = {"enableMock": request.match_info["verb"] == "enable"}
        return self._done(api)

    async def trace(self, request: web.Request) -> web.Response:
        api = self._api(request)
        self._store.apis.touch(api["id"])
        api["tracingEnabled"] = request.match_info["verb"] == "enable"
        return self._done(api)

    @staticmethod
    def _done(api: Tree) -> web.Response:
        return web.json_response({"apiResponse": {"api": api, "responseStatus": "SUCCESS"}})
