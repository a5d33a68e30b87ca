"""Applications: identifiers, links to APIs, tokens."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any

from aiohttp import web

from tests.adapters.webmethods.double.answers import Refused, Tree, csv, json_of, object_of
from tests.adapters.webmethods.double.store import Store

IDENTIFIERS = frozenset((
    "httpBasicAuth", "accessProfile", "apiKey", "wssecX509Token", "wssecUsernameToken",
    "ipAddressRange", "hostNameAddress", "openIdClaims", "jwtClaims", "oAuth2Token",
    "payloadElement", "httpsCertificate", "XPathExpression", "kerberosToken", "token",
    "partnerId", "httpHeaders",
))  # fmt: skip
_LISTS = ("contactEmails", "siteURLs", "jsOrigins", "authStrategyIds")
_TEAMS = [{"id": "Administrators", "name": "Administrators", "canDelete": "false"},
          {"id": "Default", "name": "Default", "canDelete": "true"}]  # fmt: skip


class Applications:
    """Handlers of one double."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, request: web.Request) -> web.Response:
        found = [self._shown(app) for app in self._store.applications.listed()]
        return web.json_response({"applications": found})

    async def get(self, request: web.Request) -> web.Response:
        app = self._store.record("applications", request.match_info["id"])
        # The envelope of the list, around one.
        return web.json_response({"applications": [self._shown(app)]})

    def _shown(self, app: Tree) -> Tree:
        identifiers = app["identifiers"]
        if self._store.behaviour.reads_swagger_value:
            identifiers = [
                {**{n: v for n, v in one.items() if n != "value"}, "swaggerValue": one["value"]}
                for one in identifiers
            ]
        return {**app, "identifiers": identifiers}

    async def create(self, request: web.Request) -> web.Response:
        body = await object_of(request)
        # Names are not unique.
        key = self._store.new_id()
        app = {**self._fields(body), "id": key, "created": self._store.now(), "lastupdated": None,
               "owner": "Administrator", "consumingAPIs": [],
               "accessTokens": tokens(key), "teams": _TEAMS}  # fmt: skip
        app["consumingAPIs"] = self._apis(body.get("newApisForAssociation") or [])
        self._store.applications.put(key, app)
        return web.json_response(self._shown(app), status=self._store.behaviour.created)

    def _fields(self, body: Tree) -> Tree:
        if not isinstance(body.get("name"), str) or not body["name"]:
            raise Refused(400, "Mandatory field name is missing")
        identifiers = []
        for one in body.get("identifiers") or ():
            if one.get("key") not in IDENTIFIERS:
                raise Refused(400, f"Undefined 'key' attribute value: {one.get('key')}")
            values = one.get("value", one.get("swaggerValue"))
            if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
                raise Refused(400, "Invalid value of an identifier")
            identifiers.append({"id": one.get("id") or self._store.new_id(), "key": one["key"],
                                "name": one.get("name", ""), "value": list(values)})  # fmt: skip
        strategies = body.get("authStrategyIds") or []
        if any(key not in self._store.strategies for key in strategies):
            raise Refused(400, "Unknown strategy")
        return {
            "name": body["name"],
            "description": body.get("description"),
            "version": body.get("version") or "1.0",
            "identifiers": identifiers,
            "isSuspended": body.get("isSuspended") is True,
            **{name: list(body.get(name) or ()) for name in _LISTS},
        }

    def _apis(self, ids: Any) -> list[str]:
        if not isinstance(ids, list) or any(key not in self._store.apis for key in ids):
            raise Refused(400, "Unknown API in apiIDs")
        return list(dict.fromkeys(ids))

    async def update(self, request: web.Request) -> web.Response:
        app = self._store.record("applications", request.match_info["id"])
        # A field that is left out is emptied; links and tokens stay whatever is sent.
        fields = self._fields(await object_of(request))
        self._store.applications.touch(app["id"])
        app.update(fields, lastupdated=self._store.now())
        return web.json_response(self._shown(app))

    async def patch(self, request: web.Request) -> web.Response:
        app = self._store.record("applications", request.match_info["id"])
        body = await object_of(request)
        if not isinstance(body.get("isSuspended"), bool):
            raise Refused(400, "isSuspended is missing")
        self._store.applications.touch(app["id"])
        app["isSuspended"] = body["isSuspended"]
        return web.json_response(self._shown(app))

    async def delete(self, request: web.Request) -> web.Response:
        app = self._store.record("applications", request.match_info["id"])
        self._store.applications.drop(app["id"])
        return web.Response(status=204)

    async def delete_many(self, request: web.Request) -> web.Response:
        for key in csv(request, "ids") or ():
            if key in self._store.applications:
                self._store.applications.drop(key)
        return web.Response(status=204)

    # links

    async def links(self, request: web.Request) -> web.Response:
        return self._linked(self._store.record("applications", request.match_info["id"]))

    def _linked(self, app: Tree) -> web.Response:
        apis = [self._store.apis.get(key) for key in app["consumingAPIs"]]
        shown = [{"id": api["id"], "apiName": api["apiName"]} for api in apis if api]
        return web.json_response({"apiIDs": app["consumingAPIs"], "apis": shown})

    async def link(self, request: web.Request) -> web.Response:
        """PUT and POST alike: both replace the whole list."""
        app = self._store.record("applications", request.match_info["id"])
        body = await json_of(request)
        if isinstance(body, list):
            raise Refused(500)
        ids = self._apis(body.get("apiIDs"))
        self._store.applications.touch(app["id"])
        app["consumingAPIs"] = ids
        return self._linked(app)

    async def unlink(self, request: web.Request) -> web.Response:
        app = self._store.record("applications", request.match_info["id"])
        gone = csv(request, "apiIDs") or []
        self._store.applications.touch(app["id"])
        app["consumingAPIs"] = [key for key in app["consumingAPIs"] if key not in gone]
        return web.Response(status=204)

    async def of_api(self, request: web.Request) -> web.Response:
        api = self._store.record("apis", request.match_info["id"])
        found = [self._shown(app) for app in self._store.consumers_of(api["id"])]
        return web.json_response({"applications": found})

    # tokens

    async def token_endpoints(self, request: web.Request) -> web.Response:
        self._store.record("applications", request.match_info["id"])
        at = "http://localhost:5555/invoke/pub.apigateway.oauth2"
        uris = {"authorizeUrl": f"{at}/authorize", "accessTokenUrl": f"{at}/getAccessToken"}
        return web.json_response({"local": {"uris": uris}})

    async def regenerate(self, request: web.Request) -> web.Response:
        app = self._store.record("applications", request.match_info["id"])
        body = await object_of(request)
        if body.get("type") not in ("apiAccessKeyCredentials", "oAuthCredentials"):
            raise Refused(400, "Invalid type of access token")
        self._store.applications.touch(app["id"])
        app["accessTokens"] = tokens(self._store.new_id())
        return web.json_response(self._shown(app), status=201)

    async def drop_tokens(self, request: web.Request) -> web.Response:
        app = self._store.record("applications", request.match_info["id"])
        self._store.applications.touch(app["id"])
        app["accessTokens"] = deepcopy(app["accessTokens"])
        app["accessTokens"]["apiAccessKey_credentials"]["apiAccessKey"] = None
        return web.Response(status=204)

    async def change_all_expiries(self, request: web.Request) -> web.Response:
        """Change how long the keys of ALL applications live: nobody may call this."""
        body = await object_of(request)
        self._store.expiry_changes += 1
        for app in self._store.applications:
            held = app["accessTokens"]["apiAccessKey_credentials"]
            held["expirationInterval"] = body.get("expirationInterval")
        return web.json_response({})


def tokens(seed: str) -> Tree:
    key = hashlib.sha256(seed.encode()).hexdigest()
    return {
        "apiAccessKey_credentials": {"apiAccessKey": key, "expirationInterval": None,
                                     "expirationDate": None, "expired": False},
        "oauth_credentials": {"clientID": None, "clientSecret": None, "clientName": None,
                              "scopes": None, "redirect_uris": [], "Type": "confidential"},
    }  # fmt: skip
