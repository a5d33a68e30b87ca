"""`WebMethodsDouble`: one API Gateway of one version, as an aiohttp application."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.adapters.webmethods.double.aliases import Aliases
from tests.adapters.webmethods.double.answers import Refused, Tree, html, object_of
from tests.adapters.webmethods.double.apis import Apis
from tests.adapters.webmethods.double.applications import Applications
from tests.adapters.webmethods.double.archive_export import Exports
from tests.adapters.webmethods.double.archive_import import Imports
from tests.adapters.webmethods.double.configurations import Configurations
from tests.adapters.webmethods.double.faults import Faults, with_status
from tests.adapters.webmethods.double.identity import Scopes, Strategies
from tests.adapters.webmethods.double.parts_of_apis import PartsOfApis
from tests.adapters.webmethods.double.policies import Policies
from tests.adapters.webmethods.double.search import Search
from tests.adapters.webmethods.double.store import BEHAVIOURS, Store
from tests.adapters.webmethods.double.url_aliases import UrlAliases

BASE = "/rest/apigateway"
_ZIPS = ("application/zip", "application/octet-stream")
_READ_ONLY = ("blocked by: [FORBIDDEN/12/index read-only / allow delete (api)]; "
              "ClusterBlockException")  # fmt: skip


class WebMethodsDouble:
    """An API Gateway of version `10.15` or `11`.

    tokens       account by bearer token
    readers      accounts that may read and not write
    is_expired   the licence has ended: 403 with HTML
    is_read_only the store takes no writes any more
    """

    def __init__(self, version: str = "10.15", *, tokens: dict[str, str] | None = None) -> None:
        self.version = version
        self.behaviour = BEHAVIOURS[version]()
        self.store = Store(self.behaviour)
        self.faults = Faults()
        self.apis, self.parts = Apis(self.store), PartsOfApis(self.store)
        self.policies, self.applications = Policies(self.store), Applications(self.store)
        self.strategies, self.scopes = Strategies(self.store), Scopes(self.store)
        self.aliases, self.configurations = Aliases(self.store), Configurations(self.store)
        self.exports, self.imports = Exports(self.store, version), Imports(self.store)
        self.search, self.url_aliases = Search(self.store), UrlAliases(self.store)
        self.passwords = {"Administrator": "manage", "reader": "reader"}
        self.readers = {"reader"}
        self.tokens = {"admin-token-for-the-tests": "Administrator"} if tokens is None else tokens
        self.is_expired = self.is_read_only = False
        self.health = "green"
        self.requests: list[str] = []
        self.bodies: list[tuple[str, str]] = []
        self._left: int | None = None

    def lag(self, reads: int) -> None:
        """Let writes from now on show in lists only after so many further reads of a list."""
        self.store.index.lag = reads

    def revoke_after(self, requests: int) -> None:
        """Take these credentials no more after so many further requests."""
        self._left = requests

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded], client_max_size=1 << 27)

        def add(method: str, path: str, handler: Callable[..., Any]) -> None:
            app.router.add_route(method, BASE + path, handler)

        self._add_apis(add)
        self._add_policies(add)
        self._add_consumers(add)
        self._add_rest(add)
        app.router.add_route("GET", "/is/health", self._is_health)
        return app

    def _add_apis(self, add: Callable[..., Any]) -> None:
        apis, parts = self.apis, self.parts
        add("GET", "/apis", apis.list)
        add("POST", "/apis", apis.create)
        add("DELETE", "/apis", apis.delete_many)
        add("GET", "/apis/{id}", apis.get)
        add("PUT", "/apis/{id}", apis.update)
        add("DELETE", "/apis/{id}", apis.delete)
        add("PUT", "/apis/{id}/{verb:activate|deactivate}", apis.switch)
        add("POST", "/apis/{id}/versions", apis.new_version)
        add("GET", "/apis/{id}/applications", self.applications.of_api)
        add("GET", "/apis/{id}/globalPolicies", parts.global_policies)
        add("GET", "/apis/{id}/scopes", parts.scopes)
        add("GET", "/apis/{id}/{what:source|providerspecification}", parts.source)
        add("GET", "/apis/{id}/gatewayEndpoints", parts.endpoints)
        add("PUT", "/apis/{id}/{verb:publish|unpublish}", parts.publish)
        add("PUT", "/apis/{id}/mock/{verb:enable|disable}", parts.mock)
        add("PUT", "/apis/{id}/tracing/{verb:enable|disable}", parts.trace)

    def _add_policies(self, add: Callable[..., Any]) -> None:
        policies = self.policies
        for path, prefix in (("/policyActions", "action"), ("/policies", "")):
            at, suffix = path + "/{id}", f"_{prefix}" if prefix else ""
            add("GET", path, policies.list_actions if prefix else policies.list)
            add("POST", path, getattr(policies, f"create{suffix}"))
            add("GET", at, getattr(policies, f"get{suffix}"))
            add("PUT", at, getattr(policies, f"update{suffix}"))
            add("DELETE", at, getattr(policies, f"delete{suffix}"))
        add("GET", "/policies/{id}/apis", policies.list_apis)
        add("GET", "/policies/{id}/conflicts", policies.conflicts)
        add("PUT", "/policies/{id}/{verb:activate|deactivate}", policies.switch)
        add("PUT", "/policies/{id}/{verb:enable|disable|moveup|movedown}", policies.threat_verb)
        add("GET", "/policyStages", policies.list_stages)
        add("GET", "/policyActionTemplates", policies.list_templates)
        add("GET", "/policyActionTemplates/{id}", policies.get_template)

    def _add_consumers(self, add: Callable[..., Any]) -> None:
        apps = self.applications
        add("GET", "/applications", apps.list)
        add("POST", "/applications", apps.create)
        add("DELETE", "/applications", apps.delete_many)
        add("PUT", "/applications/accessTokens", apps.change_all_expiries)
        at = "/applications/{id}"
        add("GET", at, apps.get)
        add("PUT", at, apps.update)
        add("PATCH", at, apps.patch)
        add("DELETE", at, apps.delete)
        add("GET", f"{at}/apis", apps.links)
        add("PUT", f"{at}/apis", apps.link)
        add("POST", f"{at}/apis", apps.link)
        add("DELETE", f"{at}/apis", apps.unlink)
        add("GET", f"{at}/accessTokens", apps.token_endpoints)
        add("POST", f"{at}/accessTokens", apps.regenerate)
        add("PUT", f"{at}/accessTokens", apps.regenerate)
        add("DELETE", f"{at}/accessTokens", apps.drop_tokens)

    def _add_rest(self, add: Callable[..., Any]) -> None:
        for path, handlers in (
            ("/strategies", self.strategies),
            ("/scopes", self.scopes),
            ("/alias", self.aliases),
        ):
            add("GET", path, handlers.list)
            add("POST", path, handlers.create)
            add("GET", path + "/{id}", handlers.get)
            add("PUT", path + "/{id}", handlers.update)
            add("DELETE", path + "/{id}", handlers.delete)
        urls = self.url_aliases
        for method, handler in (
            ("GET", urls.list),
            ("POST", urls.create),
            ("PUT", urls.update),
            ("DELETE", urls.delete),
        ):
            add(method, "/urlaliases", handler)
        add("PUT", "/strategies/{id}/refreshCredentials", self.strategies.refresh)
        add("GET", "/configurations/{id}", self.configurations.get)
        add("PUT", "/configurations/{id}", self.configurations.update)
        add("GET", "/archive", self.exports.get)
        add("POST", "/archive", self._archive)
        add("POST", "/search", self.search.post)
        add("POST", "/search/_count", self.search.count)
        add("GET", "/health", self._health)
        add("GET", "/health/{part:admin|engine|externalServices|all}", self._health)
        add("GET", "/is/serverinfo", self._server_info)
        add("GET", "/quiescemode", self._quiesce_mode)
        add("PUT", "/quiescemode", self._set_quiesce_mode)

    # what surrounds every handler

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        self.requests.append(line)
        try:
            self._admit(request)
            # A multipart body can be read once; the handler does.
            if request.can_read_body and not request.content_type.startswith("multipart/"):
                self.bodies.append((line, (await request.read()).decode("utf-8", "replace")))
            fault = self.faults.take(line)
            if fault is not None and not fault.is_done:
                return fault.response()
            response: web.StreamResponse = await handler(request)
            if not self._wants_json(request):
                # Carried out, and answered with a page (contract 0.7).
                return html("API Gateway")
            return response if fault is None else with_status(fault, response)
        except _Page as page:
            return page.response
        except Refused as error:
            return error.response() if self._wants_json(request) else html("Error", error.status)
        except web.HTTPNotFound:
            return html("404 Not Found", 404)
        except web.HTTPMethodNotAllowed:
            return Refused(405, "Method not allowed").response()

    def _admit(self, request: web.Request) -> None:
        if self.is_expired:
            raise _Page(html("The license of this product has expired.", 403))
        if request.path in (f"{BASE}/health", "/is/health"):
            return
        account = self._account(request)
        if account is None:
            page = html("Access Denied", 401)
            page.headers["WWW-Authenticate"] = 'Basic realm="webMethods"'
            raise _Page(page)
        is_read = request.method == "GET" or request.path.startswith(f"{BASE}/search")
        is_read = is_read or request.headers.get("x-HTTP-Method-Override") == "GET"
        if is_read:
            return
        if account in self.readers:
            # The same status as for wrong credentials, and for ids that nobody has.
            raise Refused(401, "User doesn't have permission to manage this API")
        if self.store.quiesced and request.path != f"{BASE}/quiescemode":
            raise Refused(503, "API Gateway is in quiesce mode")
        if self.is_read_only:
            raise Refused(500, _READ_ONLY)

    def _account(self, request: web.Request) -> str | None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                return None
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            return self.tokens.get(value)
        if scheme != "Basic":
            return None
        name, _, password = base64.b64decode(value).decode().partition(":")
        return name if name and self.passwords.get(name) == password else None

    @staticmethod
    def _wants_json(request: web.Request) -> bool:
        accepted = request.headers.get("Accept", "")
        is_archive = request.path == f"{BASE}/archive"
        return "application/json" in accepted or (
            is_archive and any(one in accepted for one in _ZIPS)
        )

    # small ones

    async def _archive(self, request: web.Request) -> web.Response:
        if request.headers.get("x-HTTP-Method-Override") == "GET":
            return await self.exports.by_filter(request)
        return await self.imports.post(request)

    async def _health(self, request: web.Request) -> web.Response:
        part: Tree = {"cluster_name": "SAG_EventDataStore", "status": self.health}
        is_whole = "part" not in request.match_info
        body = {"status": self.health} if is_whole else {"status": self.health,
                                                         "elasticsearch": part}  # fmt: skip
        return web.json_response(body)

    async def _is_health(self, request: web.Request) -> web.Response:
        return web.json_response({"isAlive": True})

    async def _server_info(self, request: web.Request) -> web.Response:
        full = {"10.15": "10.15.0.0", "11": "11.0.0.0"}[self.version]
        info = {"productName": "webMethods API Gateway", "productVersion": full}
        return web.json_response({"serverInfo": info})

    async def _quiesce_mode(self, request: web.Request) -> web.Response:
        held = self.store.quiesced
        return web.json_response({"block": held or "designtime", "enable": held is not None})

    async def _set_quiesce_mode(self, request: web.Request) -> web.Response:
        body = await object_of(request)
        if body.get("block") not in ("designtime", "all"):
            raise Refused(400, "Invalid value of block")
        self.store.quiesced = body["block"] if body.get("enable") is True else None
        return await self._quiesce_mode(request)


class _Page(Exception):
    """A page of HTML in place of an answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response
