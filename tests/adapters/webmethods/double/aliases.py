"""Aliases, authorization servers among them."""

from __future__ import annotations

from copy import deepcopy

from aiohttp import web

from tests.adapters.webmethods.double.answers import Refused, Tree, object_of
from tests.adapters.webmethods.double.runtime import names_in
from tests.adapters.webmethods.double.store import Store

MASK = "*" * 32
SERVER_MASK = "***"
TYPES = ("simple", "endpoint", "httpTransportSecurityAlias", "authServerAlias",
         "soapMessageSecurityAlias", "samlIssuerAlias", "webmethodsAlias", "transformationAlias",
         "serviceRegistryAlias", "clientMetadataMapping", "awsConfigurationAlias",
         "isConfigurationAlias")  # fmt: skip
_REQUIRED = {"simple": ("value",), "endpoint": ("endPointURI",),
             "httpTransportSecurityAlias": ("authType",), "authServerAlias": ()}  # fmt: skip
_NESTED_SERVER_FIELDS = ("localIntrospectionConfig", "remoteIntrospectionConfig", "metadata",
                         "tokenGeneratorConfig")  # fmt: skip


class Aliases:
    """Handlers of `/alias`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.aliases.put("local", {
            "id": "local", "name": "local", "type": "authServerAlias", "description": "",
            "owner": "Administrator", "authServerType": "LOCAL_IS",
            "tokenGeneratorConfig": {"algorithm": "RS256", "expiry": 0,
                                     "accessTokenExpInterval": 3600, "authCodeExpInterval": 600},
            "scopes": [], "supportedGrantTypes": ["authorization_code", "client_credentials"],
        })  # fmt: skip

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response({"alias": [shown(one) for one in self._store.aliases.listed()]})

    async def get(self, request: web.Request) -> web.Response:
        found = self._store.record("aliases", request.match_info["id"])
        return web.json_response({"alias": shown(found)})

    async def create(self, request: web.Request) -> web.Response:
        body = self._checked(await object_of(request))
        if any(one["name"] == body["name"] for one in self._store.aliases):
            raise Refused(self._store.behaviour.duplicate_alias,
                          f"Alias {body['name']} already exists")  # fmt: skip
        key = self._store.new_id()
        found = self._store.aliases.put(key, self._stored(body, key))
        return web.json_response({"alias": shown(found)}, status=201)

    async def update(self, request: web.Request) -> web.Response:
        held = self._store.record("aliases", request.match_info["id"])
        body = self._checked(await object_of(request))
        if (body["name"], body["type"]) != (held["name"], held["type"]):
            raise Refused(400, "Name and type of an alias cannot be changed")
        # A secret that is not sent is gone, and a mask that is sent is the secret from now on.
        found = self._store.aliases.put(held["id"], self._stored(body, held["id"]))
        return web.json_response({"alias": shown(found)})

    async def delete(self, request: web.Request) -> web.Response:
        held = self._store.record("aliases", request.match_info["id"])
        actions = [action["parameters"] for action in self._store.actions]
        if held["id"] == "local" or held["name"] in names_in(actions):
            raise Refused(405, f"Alias {held['name']} is in use")
        self._store.aliases.drop(held["id"])
        return web.Response(status=204)

    @staticmethod
    def _checked(body: Tree) -> Tree:
        if body.get("type") not in TYPES:
            raise Refused(400, f"Invalid alias type {body.get('type')}")
        for name in ("name", *_REQUIRED.get(body["type"], ())):
            if not isinstance(body.get(name), str) or not body[name]:
                raise Refused(400, f"Mandatory field {name} is missing")
        if body["type"] == "authServerAlias":
            _check_server(body)
        return body

    @staticmethod
    def _stored(body: Tree, key: str) -> Tree:
        extra: Tree = {}
        if body["type"] == "endpoint":
            extra = {"connectionTimeout": 30, "readTimeout": 30, "optimizationTechnique": "None",
                     "passSecurityHeaders": False, "suspendDurationOnFailure": 0,
                     "isAssociated": False}  # fmt: skip
        return {"description": "", **extra, **body, "owner": "Administrator", "id": key}


def _check_server(body: Tree) -> None:
    if not any(isinstance(body.get(name), dict) for name in _NESTED_SERVER_FIELDS):
        # Client and discovery URL at the top alone make no alias of this type (contract A.8).
        raise Refused(400, "Mandatory field localIntrospectionConfig is missing")
    remote = body.get("remoteIntrospectionConfig")
    if isinstance(remote, dict) and not remote.get("user"):
        raise Refused(400, "Mandatory field user is missing")


def shown(alias: Tree) -> Tree:
    found = deepcopy(alias)
    credentials = found.get("httpAuthCredentials")
    if isinstance(credentials, dict) and credentials.get("password"):
        credentials["password"] = MASK
    remote = found.get("remoteIntrospectionConfig")
    for where in (found, remote):
        if isinstance(where, dict) and where.get("clientSecret"):
            where["clientSecret"] = SERVER_MASK
    return found
