"""`GET /archive`, and `POST /archive` with `x-HTTP-Method-Override: GET`."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from aiohttp import web

from tests.adapters.webmethods.double import archive_files
from tests.adapters.webmethods.double.answers import Refused, Tree, csv, object_of
from tests.adapters.webmethods.double.archive_files import Asset
from tests.adapters.webmethods.double.runtime import names_in
from tests.adapters.webmethods.double.store import Store

# By query parameter: the collection of the store; `include` is none of them.
_SELECTORS = {"apis": "apis", "policies": "policies", "policyActions": "actions",
              "aliases": "aliases", "applications": "applications",
              "gatewayScopes": "scopes"}  # fmt: skip
_TYPES = {"api": "apis", "policy": "policies", "policy_action": "actions", "alias": "aliases",
          "application": "applications", "gateway_scope": "scopes"}  # fmt: skip


class Export:
    """Collects assets and what they depend on, each once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.assets: dict[str, Asset] = {}
        self.secrets: Tree = {}

    def add(self, collection: str, key: str, *, with_applications: bool = False) -> None:
        record = getattr(self._store, collection).get(key)
        if record is None:
            raise Refused(400, f"Asset {key} cannot be resolved")
        if collection == "apis":
            self._api(record)
            for app in self._store.consumers_of(key) if with_applications else ():
                self._application(app)
        elif collection == "policies":
            self._policy(record, "")
        elif collection == "actions":
            self._action(record, "")
        elif collection == "aliases":
            self._alias(record)
        elif collection == "applications":
            self._application(record)
        else:
            name = record["scopeName"]
            self._put(Asset("GatewayScope", key, name, deepcopy(record)))

    def _put(self, asset: Asset) -> str:
        self.assets.setdefault(asset.key, asset)
        return asset.key

    def _api(self, api: Tree) -> None:
        folder = f"API/API.{api['id']}/"
        scoped = [key for scope in api["scopes"] for key in scope.get("policies") or ()]
        policies = [self._store.policies.get(key) for key in [*api["policies"], *scoped]]
        needs = [f"Policy.{one['id']}" for one in policies if one]
        content = {**deepcopy(api), "referencedFiles": {
            api["apiName"]: self._store.sources.get(api["id"], "")}}  # fmt: skip
        shown = f"{api['apiName']}[{api['apiVersion']}]"
        self._put(Asset("API", api["id"], shown, content, needs))
        for policy in policies:
            if policy:
                self._policy(policy, folder)

    def _policy(self, policy: Tree, folder: str) -> None:
        actions = [self._store.actions.get(key) for key in self._store.action_ids(policy)]
        needs = [f"PolicyAction.{one['id']}" for one in actions if one]
        name = policy["names"][0]["value"]
        self._put(Asset("Policy", policy["id"], name, deepcopy(policy), needs, folder))
        for action in actions:
            if action:
                self._action(action, f"{folder}Policy/Policy.{policy['id']}/")

    def _action(self, action: Tree, folder: str) -> None:
        named = names_in(action["parameters"])
        aliases = [one for one in self._store.aliases if one["name"] in named]
        name = (action["names"] or [{"value": action["templateKey"]}])[0]["value"]
        self._put(Asset("PolicyAction", action["id"], name, deepcopy(action),
                        [f"Alias.{one['id']}" for one in aliases], folder))  # fmt: skip
        for alias in aliases:
            self._alias(alias)

    def _alias(self, alias: Tree) -> None:
        content = deepcopy(alias)
        held: Tree = {}
        credentials = content.get("httpAuthCredentials")
        if isinstance(credentials, dict) and "password" in credentials:
            held["httpAuthCredentials.password"] = credentials.pop("password")
        remote = content.get("remoteIntrospectionConfig")
        if isinstance(remote, dict) and "clientSecret" in remote:
            held["remoteIntrospectionConfig.clientSecret"] = remote.pop("clientSecret")
        if held:
            self.secrets[alias["id"]] = held
        self._put(Asset("Alias", alias["id"], alias["name"], content))

    def _application(self, app: Tree) -> None:
        needs = [f"API.{key}" for key in app["consumingAPIs"] if f"API.{key}" in self.assets]
        self._put(Asset("Application", app["id"], app["name"], deepcopy(app), needs))


class Exports:
    """Handlers of one double."""

    def __init__(self, store: Store, runtime: str) -> None:
        self._store, self._runtime = store, runtime

    async def get(self, request: web.Request) -> web.Response:
        export = Export(self._store)
        with_apps = request.query.get("include-applications") == "true"
        for name, collection in _SELECTORS.items():
            for key in self._keys(collection, csv(request, name) or []):
                export.add(collection, key, with_applications=with_apps)
        self._configurations(export, csv(request, "configurations") or [])
        if not export.assets:
            raise Refused(400, "No asset is selected")
        return self._zip(export)

    def _keys(self, collection: str, wanted: list[str]) -> list[str]:
        if "*" in wanted:
            return [record["id"] for record in getattr(self._store, collection)]
        return wanted

    def _configurations(self, export: Export, names: list[str]) -> None:
        for name in self._store.configurations if "*" in names else names:
            if name not in self._store.configurations:
                raise Refused(400, f"Asset {name} cannot be resolved")
            content = deepcopy(self._store.configurations[name])
            shown = "extended" if name == "settings" else name
            asset = Asset("AdministratorSetting", shown, shown, content)
            export.assets[asset.key] = asset

    async def by_filter(self, request: web.Request) -> web.Response:
        body = await object_of(request)
        options = body.get("includeOptions") or {}
        export = Export(self._store)
        # Without types it is everything (contract A.10).
        for kind in body.get("types") or _TYPES:
            if kind.lower() not in _TYPES:
                raise Refused(400, f"Invalid type {kind}")
            collection = _TYPES[kind.lower()]
            for record in getattr(self._store, collection):
                if matches(record, body):
                    with_apps = bool(options.get("includeApplications"))
                    export.add(collection, record["id"], with_applications=with_apps)
        return self._zip(export)

    def _zip(self, export: Export) -> web.Response:
        raw = archive_files.write(list(export.assets.values()), export.secrets,
                                  self._store.now(), self._runtime)  # fmt: skip
        return web.Response(body=raw, content_type="application/zip")


def matches(record: Tree, body: Tree) -> bool:
    scope = body.get("scope") or []
    results = [_field_matches(record, one) for one in scope]
    if not results:
        return True
    return any(results) if body.get("condition") == "or" else all(results)


def _field_matches(record: Any, one: Tree) -> bool:
    value = record.get(one["attributeName"], "")
    return re.fullmatch(str(one["keyword"]), str(value)) is not None
