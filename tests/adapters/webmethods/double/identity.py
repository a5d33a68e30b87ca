"""Strategies and OAuth scopes."""

from __future__ import annotations

from aiohttp import web

from tests.adapters.webmethods.double.answers import Refused, Tree, object_of
from tests.adapters.webmethods.double.store import Store

MASK = "*" * 32
STRATEGY_TYPES = ("JWT_RSA", "JWT_HSA", "OPENID_CONNECT_RSA", "OPENID_CONNECT_HSA", "OAUTH2",
                  "OAUTH2_LOCAL_RSA", "OAUTH2_LOCAL_HSA", "COMPOSITE")  # fmt: skip


class Strategies:
    """Handlers of `/strategies`: bodies without an envelope, secrets masked on the way back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, request: web.Request) -> web.Response:
        found = [self._shown(one) for one in self._store.strategies.listed()]
        if self._store.behaviour.bare_strategies:
            return web.json_response(found)
        return web.json_response({"strategies": found})

    async def get(self, request: web.Request) -> web.Response:
        found = self._store.record("strategies", request.match_info["id"])
        return web.json_response({"strategy": self._shown(found)})

    async def create(self, request: web.Request) -> web.Response:
        body = self._checked(await object_of(request))
        key = self._store.new_id()
        self._store.strategies.put(key, {**body, "id": key})
        shown = self._shown({**body, "id": key})
        return web.json_response({"strategy": shown}, status=self._store.behaviour.created)

    async def update(self, request: web.Request) -> web.Response:
        held = self._store.record("strategies", request.match_info["id"])
        body = self._checked(await object_of(request))
        self._store.strategies.put(held["id"], {**body, "id": held["id"]})
        return web.json_response({"strategy": self._shown({**body, "id": held["id"]})})

    async def delete(self, request: web.Request) -> web.Response:
        held = self._store.record("strategies", request.match_info["id"])
        self._store.strategies.drop(held["id"])
        for app in self._store.applications:
            if held["id"] in app["authStrategyIds"]:
                self._store.applications.touch(app["id"])
                app["authStrategyIds"].remove(held["id"])
        return web.Response(status=204)

    async def refresh(self, request: web.Request) -> web.Response:
        held = self._store.record("strategies", request.match_info["id"])
        self._store.strategies.touch(held["id"])
        held["clientSecret"] = self._store.new_id()
        return web.json_response({"strategy": self._shown(held)})

    @staticmethod
    def _checked(body: Tree) -> Tree:
        if body.get("type") not in STRATEGY_TYPES:
            kind = body.get("type", "null")
            raise Refused(400, f"Unrecognized Type: [{kind}]")
        if not isinstance(body.get("name"), str) or not body["name"]:
            raise Refused(400, "Mandatory field name is missing")
        return body

    @staticmethod
    def _shown(held: Tree) -> Tree:
        shown = {name: value for name, value in held.items() if name != "clientSecret"}
        if shown.get("secret"):
            shown["secret"] = MASK
        shown["clientRegistration"] = {"clientId": held.get("clientId"), "clientSecret": MASK}
        return shown


class Scopes:
    """Handlers of `/scopes`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response({"scopes": self._store.scopes.listed()})

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response({"scope": self._store.record("scopes", request.match_info["id"])})

    async def create(self, request: web.Request) -> web.Response:
        body = self._checked(await object_of(request))
        key = self._store.new_id()
        found = self._store.scopes.put(key, {**body, "id": key})
        return web.json_response({"scope": found}, status=201)

    async def update(self, request: web.Request) -> web.Response:
        held = self._store.record("scopes", request.match_info["id"])
        body = self._checked(await object_of(request))
        found = self._store.scopes.put(held["id"], {**body, "id": held["id"]})
        return web.json_response({"scope": found})

    async def delete(self, request: web.Request) -> web.Response:
        held = self._store.record("scopes", request.match_info["id"])
        self._store.scopes.drop(held["id"])
        return web.Response(status=204)

    @staticmethod
    def _checked(body: Tree) -> Tree:
        if not isinstance(body.get("scopeName"), str):
            raise Refused(400, "Mandatory field scopeName is missing")
        known = ("id", "scopeName", "scopeDescription", "audience", "apiScopes",
                 "requiredAuthScopes")  # fmt: skip
        # Others, such as STOA's apiIds and keycloakScope, are passed over.
        return {
            "scopeDescription": "",
            "audience": "",
            "apiScopes": [],
            "requiredAuthScopes": [],
            **{name: value for name, value in body.items() if name in known},
        }
