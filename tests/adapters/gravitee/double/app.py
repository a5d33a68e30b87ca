"""`GraviteeDouble`: one Gravitee APIM of one version, as an aiohttp application."""

from __future__ import annotations

import base64
import fnmatch
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from aiohttp import web

from tests.adapters.gravitee.double import plugins
from tests.adapters.gravitee.double.apis import ACCOUNT, Apis, forbidden
from tests.adapters.gravitee.double.checks import Checks, Refused
from tests.adapters.gravitee.double.consumers import Consumers
from tests.adapters.gravitee.double.store import Store

_AUTOMATION = "/automation/organizations/{org}/environments/{env}"
_V2 = "/management/v2/environments/{env}"
_V1 = "/management/organizations/{org}/environments/{env}"
_READ_ONLY_ROLES = ("user",)

# What the real description has, by version; the rest of its 130 KB is left out.
_DESCRIPTION = """openapi: 3.1.0
paths:
  /organizations/{orgId}/environments/{envId}/apis:
    put: {}
"""
_CONSUMERS = """  /organizations/{orgId}/environments/{envId}/applications:
    put: {}
  /organizations/{orgId}/environments/{envId}/apis/{apiHrid}/subscriptions:
    put: {}
"""
_KEYS = """components:
  schemas:
    SubscriptionSpec:
      properties:
        apiKeys:
          type: array
"""


class GraviteeDouble:
    """A Gravitee of a version such as `4.12.12`.

    has_automation  False plays a version before 4.8
    has_import      False plays one before 4.2
    policies        ids of installed policies; all that it knows by default
    schemas         other schemas of policies than it knows
    tokens          account by personal access token

    writes_left     writes that are taken until the credentials are revoked; None for all, -1 after
                    the first that was refused
    read_only       answer to writes: `method` (405), `database` (500), `licence` (403 with HTML)
    refuses_reads   that is the answer to reads as well
    before          awaited with "METHOD path" before a request is carried out
    """

    def __init__(
        self,
        version: str = "4.12.12",
        *,
        has_automation: bool = True,
        has_import: bool = True,
        policies: Collection[str] | None = None,
        schemas: Mapping[str, Any] | None = None,
        tokens: dict[str, str] | None = None,
    ) -> None:
        major, minor = version.split(".")[:2]
        self.version = (int(major), int(minor))
        behaviour = (4, 12) if self.version >= (4, 12) else (4, 10)
        self.has_automation, self.has_import = has_automation, has_import
        self.store = Store()
        self.policies = set(plugins.POLICIES if policies is None else policies)
        self.resources = set(plugins.RESOURCES)
        self.schemas = {**plugins.POLICIES, **(schemas or {})}
        self._checks = Checks(behaviour, self.store, self.policies)
        self.apis = Apis(self.store, self._checks, behaviour)
        self.consumers = Consumers(self.store, self.apis, behaviour)
        self.tokens = tokens or {"admin-token-for-the-tests": "admin"}
        self.passwords = {name: name for name in ("admin", "api1", "user")}
        self.writes_left: int | None = None
        self.read_only, self.refuses_reads = "", False
        self.before: Callable[[str], Awaitable[None]] | None = None
        self._failing: tuple[str, int, str] | None = None
        self.requests: list[str] = []
        self.bodies: list[tuple[str, Any]] = []

    def fails_once(self, pattern: str, status: int, text: str) -> None:
        """Answer the next request such as `POST *_transfer` without carrying it out."""
        self._failing = pattern, status, text

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded], client_max_size=1 << 26)
        add = app.router.add_route
        add("GET", "/automation/open-api.yaml", self._description)
        if self.has_automation:
            self._add_automation(add)
        self._add_v2(add)
        self._add_v1(add)
        for kind in ("policies", "resources"):
            at = "/management/v2/organizations/{org}/plugins/" + kind
            add("GET", at, self._plugins(kind))
            add("GET", at + "/{plugin}/schema", self._schema(kind))
        at = "/management/v2/organizations/{org}/plugins/endpoints/http-proxy"
        add("GET", f"{at}/shared-configuration-schema", self._shared)
        add("GET", "/management/v2/organizations/{org}/license", self._license)
        return app

    def _add_automation(self, add: Callable[..., Any]) -> None:
        apis, consumers = self.apis, self.consumers
        add("PUT", f"{_AUTOMATION}/apis", apis.put)
        add("GET", _AUTOMATION + "/apis/{hrid}", apis.get)
        add("DELETE", _AUTOMATION + "/apis/{hrid}", apis.delete)
        if self.version < (4, 9):
            return
        add("PUT", f"{_AUTOMATION}/applications", consumers.put_application)
        add("GET", _AUTOMATION + "/applications/{hrid}", consumers.get_application)
        add("DELETE", _AUTOMATION + "/applications/{hrid}", consumers.delete_application)
        at = _AUTOMATION + "/apis/{hrid}/subscriptions"
        add("PUT", at, consumers.put_subscription)
        add("DELETE", at + "/{sub}", consumers.delete_subscription)

    def _add_v2(self, add: Callable[..., Any]) -> None:
        apis, consumers = self.apis, self.consumers
        add("GET", _V2, self._environment)
        add("GET", f"{_V2}/apis", apis.list_v2)
        add("POST", f"{_V2}/apis", apis.create_v2)
        add("POST", f"{_V2}/apis/_verify/paths", apis.verify_paths)
        if self.has_import:
            add("PUT", f"{_V2}/apis/_import/crd", apis.import_crd)
        api = _V2 + "/apis/{api}"
        add("GET", api, apis.get_v2)
        add("PUT", api, apis.update_v2)
        add("DELETE", api, apis.delete_v2)
        add("POST", api + "/{verb:_start|_stop}", apis.change_state)
        add("POST", f"{api}/deployments", apis.deploy_v2)
        add("POST", f"{api}/_detach", apis.detach)
        add("GET", f"{api}/plans", apis.list_plans)
        add("POST", f"{api}/plans", apis.create_plan)
        add("GET", api + "/plans/{plan}", apis.get_plan)
        add("PUT", api + "/plans/{plan}", apis.update_plan)
        add("DELETE", api + "/plans/{plan}", apis.delete_plan)
        add("POST", api + "/plans/{plan}/{verb:_publish|_close}", apis.move_plan)
        at = f"{api}/subscriptions"
        add("GET", at, consumers.list_v2)
        add("POST", at, consumers.create_v2)
        add("GET", at + "/{sub}", consumers.get_v2)
        add("PUT", at + "/{sub}", consumers.update_v2)
        verbs = "_accept|_reject|_close|_pause|_resume"
        add("POST", at + "/{sub}/{verb:" + verbs + "}", consumers.move_v2)
        add("POST", at + "/{sub}/_transfer", consumers.transfer)
        add("GET", at + "/{sub}/api-keys", consumers.list_keys)
        add("POST", at + "/{sub}/api-keys/_renew", consumers.renew_key)
        add("POST", at + "/{sub}/api-keys/{key}/{verb:_revoke|_reactivate}", consumers.move_key)

    def _add_v1(self, add: Callable[..., Any]) -> None:
        consumers = self.consumers
        add("GET", f"{_V1}/applications/_paged", consumers.list_v1)
        add("POST", f"{_V1}/applications", consumers.create_v1)
        add("GET", _V1 + "/applications/{app}", consumers.get_v1)
        add("GET", _V1 + "/applications/{app}/subscriptions", consumers.list_subscribed)
        add("PUT", _V1 + "/applications/{app}", consumers.update_v1)
        add("DELETE", _V1 + "/applications/{app}", consumers.delete_v1)
        add("POST", _V1 + "/applications/{app}/_restore", consumers.restore_v1)

    # what surrounds every handler

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.before is not None:
            await self.before(self.requests[-1])
        try:
            return await self._answer(request, handler)
        except Refused as error:
            return _refusal(error)
        except web.HTTPNotFound:
            is_odd = request.path.startswith("/automation") and "/environments/" not in request.path
            return web.Response(status=500 if is_odd else 404)
        except web.HTTPMethodNotAllowed:
            body = {"httpStatus": 405, "message": "HTTP 405 Method Not Allowed", "details": []}
            return web.json_response(body, status=405)

    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/automation/open-api.yaml":
            # A 500 for those who show a credential (R.2).
            if "Authorization" in request.headers:
                return web.Response(status=500)
            if "yaml" not in request.headers.get("Accept", ""):
                return web.Response(status=406)
            response: web.StreamResponse = await handler(request)
            return response
        account = self._account(request)
        if account is None:
            return _unauthorized()
        if request.method != "GET" and {"Origin", "Referer"} & set(request.headers):
            return web.Response(status=403)
        refusal = self._refuse_by_state(request) or self._fail_planned(request)
        if refusal is not None:
            return refusal
        request[ACCOUNT] = account
        for name in ("org", "env"):
            if request.match_info.get(name, "DEFAULT") != "DEFAULT":
                raise Refused(400, "Invalid organization or environment", parameters=False)
        if account in _READ_ONLY_ROLES and request.method != "GET":
            raise forbidden()
        if request.can_read_body:
            self.bodies.append((f"{request.method} {request.path}", await request.text()))
        found: web.StreamResponse = await handler(request)
        return found

    def _refuse_by_state(self, request: web.Request) -> web.Response | None:
        is_write = request.method != "GET"
        if self.read_only and (is_write or self.refuses_reads):
            return READ_ONLY[self.read_only]()
        if not is_write or self.writes_left is None:
            return None
        self.writes_left = max(self.writes_left - 1, -1)
        return _unauthorized() if self.writes_left < 0 else None

    def _fail_planned(self, request: web.Request) -> web.Response | None:
        line, planned = f"{request.method} {request.path}", self._failing
        if planned is None or not fnmatch.fnmatchcase(line, planned[0]):
            return None
        self._failing = None
        return web.Response(status=planned[1], text=planned[2])

    def _account(self, request: web.Request) -> str | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, password = base64.b64decode(value).decode().partition(":")
            return name if name and self.passwords.get(name) == password else None
        return self.tokens.get(value) if scheme == "Bearer" else None

    # small ones

    async def _description(self, request: web.Request) -> web.Response:
        if not self.has_automation:
            raise Refused(404)
        text = _DESCRIPTION
        text += _CONSUMERS if self.version >= (4, 9) else ""
        text += _KEYS if self.version >= (4, 12) else ""
        return web.Response(text=text, content_type="application/yaml")

    async def _environment(self, request: web.Request) -> web.Response:
        found = {"id": "DEFAULT", "name": "Default environment"}
        return web.json_response({**found, "description": "Default environment"})

    async def _license(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"tier": "oss", "packs": [], "features": [], "isExpired": False, "scope": "PLATFORM"}
        )

    def _plugins(self, kind: str) -> Any:
        async def listed(request: web.Request) -> web.Response:
            names = self.policies if kind == "policies" else self.resources
            return web.json_response([{"id": name, "name": name} for name in sorted(names)])

        return listed

    async def _shared(self, request: web.Request) -> web.Response:
        return web.json_response(plugins.SHARED)

    def _schema(self, kind: str) -> Any:
        async def schema(request: web.Request) -> web.Response:
            name = request.match_info["plugin"]
            known = self.policies if kind == "policies" else self.resources
            if name not in known:
                raise Refused(404, f"Plugin [{name}] cannot be found.", "plugin.notFound")
            found = (self.schemas if kind == "policies" else plugins.RESOURCES)[name]
            return web.json_response(found) if found else web.Response(status=204)

        return schema


def _unauthorized() -> web.Response:
    challenge = 'Basic realm="Gravitee.io Management API"'
    return web.Response(status=401, headers={"WWW-Authenticate": challenge})


def _technical() -> web.Response:
    message = (
        "io.gravitee.rest.api.service.exceptions.TechnicalManagementException: An error occurs "
        "while trying to save the API"
    )
    body = {"httpStatus": 500, "message": message, "technicalCode": "unexpected", "details": []}
    return web.json_response(body, status=500)


READ_ONLY: dict[str, Callable[[], web.Response]] = {
    "method": lambda: web.json_response(
        {"httpStatus": 405, "message": "HTTP 405 Method Not Allowed", "details": []}, status=405
    ),
    "database": _technical,
    "licence": lambda: web.Response(
        text="<!doctype html><h1>Your licence has expired", content_type="text/html", status=403
    ),
}


def _refusal(error: Refused) -> web.Response:
    if error.text is not None:
        return web.Response(status=error.status, text=error.text)
    if error.body is None:
        return web.Response(status=error.status)
    return web.json_response(error.body, status=error.status)
