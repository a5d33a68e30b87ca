"""`POST /archive`: 201 whatever becomes of the assets; each has a result of its own."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from aiohttp import web

from tests.adapters.webmethods.double import archive_files
from tests.adapters.webmethods.double.answers import Refused, Tree, csv
from tests.adapters.webmethods.double.apis import activate
from tests.adapters.webmethods.double.applications import tokens
from tests.adapters.webmethods.double.archive_files import Asset
from tests.adapters.webmethods.double.store import Collection, Store

# By kind of asset: its collection, and its word in `overwrite`, whose case matters.
_KINDS = {
    "Alias": ("aliases", "aliases"),
    "PolicyAction": ("actions", "policyactions"),
    "Policy": ("policies", "policies"),
    "API": ("apis", "apis"),
    "Application": ("applications", "applications"),
}
_EXISTS = "Asset already exists."


@dataclass
class Result:
    """What became of one asset."""

    is_imported: bool
    explanation: str = "OK"
    overwritten: bool = False
    dependency_failed: bool = False

    def shown(self, asset: Asset, name: str) -> Tree:
        return {asset.kind: {
            "name": name, "id": asset.id, "status": "Success" if self.is_imported else "Failed",
            "explanation": self.explanation, "overwritten": self.overwritten,
            "dependencyFailed": self.dependency_failed}}  # fmt: skip


class Imports:
    """Handlers of one double; `failures` makes assets fail, by id, with an explanation."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures: dict[str, str] = {}

    async def post(self, request: web.Request) -> web.Response:
        assets, secrets = archive_files.read(await _upload(request))
        overwrite = set(csv(request, "overwrite") or ())
        keeps_state = request.query.get("preserveAssetState", "true") != "false"
        fixes = request.query.get("fixingMissingVersions") == "true"
        order = list(_KINDS)
        assets.sort(key=lambda one: order.index(one.kind) if one.kind in order else len(order))
        results: dict[str, Result] = {}
        shown = []
        for asset in assets:
            result = self._result(asset, overwrite, results, fixes=fixes)
            if result.is_imported:
                self._take(asset, result, secrets, overwrite, keeps_state=keeps_state)
            results[asset.key] = result
            shown.append(result.shown(asset, _name(asset)))
        return web.json_response({"ArchiveResult": shown}, status=201)

    def _result(
        self, asset: Asset, overwrite: set[str], results: dict[str, Result], *, fixes: bool
    ) -> Result:
        if asset.id in self.failures:
            return Result(False, self.failures[asset.id])
        if asset.kind not in _KINDS:
            return Result(False, f"Unsupported asset type {asset.kind}")
        if asset.content.get("id") != asset.id:
            return Result(False, "The asset is not in the archive.")
        collection, word = _KINDS[asset.kind]
        lost = [
            need
            for need in asset.needs
            if not (results[need].is_imported if need in results else False)
            and not self._exists(need)
        ]
        if lost:
            return Result(False, f"Dependency failed: {lost[0]}", dependency_failed=True)
        is_held = asset.id in self._collection(collection)
        if is_held and not overwrite & {word, "*", f"{word}_base"}:
            return Result(False, _EXISTS)
        clash = self._clash(asset, fixes=fixes)
        return Result(False, clash) if clash else Result(True, overwritten=is_held)

    def _exists(self, key: str) -> bool:
        kind, _, one = key.partition(".")
        return kind in _KINDS and one in self._collection(_KINDS[kind][0])

    def _collection(self, name: str) -> Collection:
        found: Collection = getattr(self._store, name)
        return found

    def _clash(self, asset: Asset, *, fixes: bool) -> str | None:
        """Aliases and APIs are matched by id, never by name; names stay unique all the same."""
        if asset.kind == "Alias":
            names = {one["name"]: one["id"] for one in self._store.aliases}
            held = names.get(asset.content["name"], asset.id)
            return None if held == asset.id else f"Alias {asset.content['name']} already exists"
        if asset.kind != "API":
            return None
        name, version = asset.content["apiName"], asset.content["apiVersion"]
        others = [api for api in self._store.apis if api["apiName"] == name
                  and api["id"] != asset.id]  # fmt: skip
        if any(api["apiVersion"] == version for api in others):
            return f"API with apiName {name} and version {version} already exists"
        is_linked = any(api["id"] == asset.content.get("prevVersion") for api in others)
        if others and not is_linked and not fixes and asset.id not in self._store.apis:
            return f"API with apiName {name} already exists"
        return None

    # what is stored

    def _take(
        self, asset: Asset, result: Result, secrets: Tree, overwrite: set[str], *, keeps_state: bool
    ) -> None:
        content = deepcopy(asset.content)
        if asset.kind == "API":
            self._take_api(content, result, keeps_state=keeps_state)
        elif asset.kind == "Application":
            self._take_application(content, overwrite)
        else:
            if asset.kind == "Alias":
                _put_secrets(content, secrets.get(asset.id) or {})
            self._collection(_KINDS[asset.kind][0]).put(asset.id, content)

    def _take_api(self, content: Tree, result: Result, *, keeps_state: bool) -> None:
        key, store = content["id"], self._store
        source = content.pop("referencedFiles", {}).get(content["apiName"], "")
        held = store.apis.get(key)
        wants_active = content.get("isActive") is True and keeps_state
        now = store.now()
        defaults = {"scopes": [], "tracingEnabled": False, "publishedPortals": [],
                    "systemVersion": 1, "maturityState": "Beta", "owner": "Administrator",
                    "apiDescription": "", "nativeEndpoint": [], "apiTags": [],
                    "prevVersion": None, "nextVersion": None}  # fmt: skip
        api = {**defaults, **content, "isActive": False, "lastModified": now,
               "creationDate": held["creationDate"] if held else now}  # fmt: skip
        was_active = bool(held and held["isActive"])
        if held and held["apiName"] != api["apiName"]:
            store.versions[held["apiName"]].remove(key)
        store.apis.put(key, api)
        store.sources[key] = source
        ids = store.versions.setdefault(api["apiName"], [])
        if key not in ids:
            ids.append(key)
        if wants_active:
            try:
                activate(store, api)
            except Refused as error:
                # Imported, and not served: who reads `status` only does not see it.
                result.explanation = f"OK, but not activated:{error.body['errorDetails']}"
        elif was_active:
            store.bindings.pop(key, None)

    def _take_application(self, content: Tree, overwrite: set[str]) -> None:
        key = content["id"]
        held = self._store.applications.get(key)
        content.setdefault("accessTokens", tokens(key))
        for name in ("identifiers", "consumingAPIs", "authStrategyIds"):
            content.setdefault(name, [])
        # Links to APIs that are not here are dropped without a word.
        content["consumingAPIs"] = [one for one in content["consumingAPIs"]
                                    if one in self._store.apis]  # fmt: skip
        if held is not None and "*" not in overwrite:
            if "application_apiKeys" not in overwrite or "applications" not in overwrite:
                content["accessTokens"] = held["accessTokens"]
            if "application_strategies" not in overwrite or "applications" not in overwrite:
                content["authStrategyIds"] = held["authStrategyIds"]
            if "applications" not in overwrite:
                content["consumingAPIs"] = held["consumingAPIs"]
            content["created"] = held["created"]
        content.setdefault("created", self._store.now())
        content["lastupdated"] = self._store.now()
        self._store.applications.put(key, content)


def _put_secrets(content: Tree, secrets: Tree) -> None:
    """Put back what PassmanData holds; without it the alias has no secret any more."""
    for path, value in secrets.items():
        where, _, name = path.partition(".")
        content.setdefault(where, {})[name] = value


def _name(asset: Asset) -> str:
    names = asset.content.get("names")
    found = asset.content.get("apiName") or asset.content.get("name")
    return str(found or (names[0]["value"] if names else asset.name))


async def _upload(request: web.Request) -> bytes:
    if request.content_type == "application/zip":
        return await request.read()
    if request.content_type.startswith("multipart/"):
        async for part in await request.multipart():
            if getattr(part, "name", None) in ("zipFile", "file"):
                return bytes(await part.read())  # type: ignore[union-attr]
    raise Refused(400, "zipFile is missing")
