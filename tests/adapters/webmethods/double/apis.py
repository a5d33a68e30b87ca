"""APIs: import, update, activation, versions, deletion."""

from __future__ import annotations

from copy import deepcopy

from aiohttp import web

from tests.adapters.webmethods.double import documents, templates
from tests.adapters.webmethods.double.answers import Refused, Tree, csv, number, object_of
from tests.adapters.webmethods.double.imports import Import, read_import
from tests.adapters.webmethods.double.policies import clone
from tests.adapters.webmethods.double.runtime import bound_aliases
from tests.adapters.webmethods.double.store import Store

_LISTED = ("apiName", "apiVersion", "apiDescription", "isActive", "type", "tracingEnabled",
           "publishedPortals", "systemVersion", "id")  # fmt: skip
_TEAMS = [{"id": name, "name": name, "source": "LOCAL"} for name in ("Administrators", "Default")]


class Apis:
    """Handlers of one double."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # What `url` of an import leads to: the double fetches nothing.
        self.reachable: dict[str, str] = {}

    async def list(self, request: web.Request) -> web.Response:
        wanted = csv(request, "apiIds")
        held = self._store.apis.listed()
        if wanted is not None:
            by_id = {api["id"]: api for api in held}
            found = [
                _entry(by_id[key]) if key in by_id
                else {"api": {"id": key}, "responseStatus": "NOT_FOUND"} for key in wanted
            ]  # fmt: skip
            return web.json_response({"apiResponse": found})
        start, size = number(request, "from", 0), number(request, "size", len(held))
        page = held[max(start, 0) :][: size if size >= 0 else None]
        return web.json_response({"apiResponse": [_entry(api) for api in page]})

    async def get(self, request: web.Request) -> web.Response:
        api = self._store.record("apis", request.match_info["id"])
        if "format" in request.query:
            return web.Response(text=self._store.sources[api["id"]],
                                content_type="application/json")  # fmt: skip
        return self._envelope(api)

    def _envelope(self, api: Tree, status: int = 200) -> web.Response:
        versions = self._store.versions[api["apiName"]]
        end_points = [f"http://localhost:5555/gateway/{api['apiName']}/{api['apiVersion']}"]
        found = {
            "api": {**api, "teams": None},
            "responseStatus": "SUCCESS",
            "gatewayEndPoints": end_points if api["isActive"] else [],
            "versions": [{"versionNumber": self._version(key), "apiId": key} for key in versions],
            "teams": _TEAMS,
        }
        return web.json_response({"apiResponse": found}, status=status)

    def _version(self, key: str) -> str:
        api = self._store.apis.get(key)
        return api["apiVersion"] if api else ""

    # writes

    async def create(self, request: web.Request) -> web.Response:
        sent = await read_import(request, self._store.behaviour, self.reachable, None)
        # Also with another version: those come from /versions only.
        if any(api["apiName"] == sent.name for api in self._store.apis):
            raise Refused(self._store.behaviour.duplicate_api,
                          f"API with apiName {sent.name} and version {sent.version} already "
                          "exists")  # fmt: skip
        key = self._store.new_id()
        policy = self._default_policy(sent)
        now = self._store.now()
        api = {
            "apiName": sent.name,
            "apiVersion": sent.version,
            "isActive": False,
            "maturityState": sent.maturity or "Beta",
            "owner": "Administrator",
            "policies": [policy["id"]],
            "scopes": sent.scopes or [],
            "tracingEnabled": False,
            "publishedPortals": [],
            "systemVersion": 1,
            "creationDate": now,
            "lastModified": now,
            "prevVersion": None,
            "nextVersion": None,
            "provider": None,
            "gatewayEndpoints": {},
            "centraSiteURL": None,
            "rootFileName": None,
            "apiTags": [],
            "id": key,
            **_described(sent),
        }
        self._store.apis.put(key, api)
        self._store.sources[key] = sent.document.source
        self._store.versions[sent.name] = [key]
        return self._envelope(api, self._store.behaviour.created)

    def _default_policy(self, sent: Import) -> Tree:
        endpoint = sent.document.endpoints[0] if sent.document.endpoints else ""
        is_soap = sent.document.kind == "SOAP"
        target = endpoint if is_soap else endpoint.rstrip("/") + "/${sys:resource_path}"
        transport = [{"templateKey": "protocol", "values": ["http"]}]
        if is_soap:
            transport.append({"templateKey": "soapVersion", "values": ["soap"]})
        routing = [{"templateKey": "endpointUri", "values": [target]},
                   {"templateKey": "method", "values": ["CUSTOM"]}]  # fmt: skip
        stages = []
        for key, parameters in (
            ("straightThroughRouting", routing),
            ("entryProtocolPolicy", transport),
        ):
            template = templates.TEMPLATES[key]
            action = {"id": self._store.new_id(), "names": templates.names(template.name),
                      "descriptions": [], "templateKey": key, "parameters": parameters,
                      "active": False}  # fmt: skip
            self._store.actions.put(action["id"], action)
            placed = {"enforcementObjectId": action["id"], "order": "0"}
            stages.append({"enforcements": [placed], "stageKey": template.stage})
        name = f"Default Policy for API {sent.name}"
        policy = {"id": self._store.new_id(), "names": templates.names(name), "descriptions": [],
                  "scope": {"scopeConditions": []}, "policyEnforcements": stages,
                  "policyScope": "SERVICE", "global": False, "active": False,
                  "systemPolicy": False}  # fmt: skip
        return self._store.policies.put(policy["id"], policy)

    async def update(self, request: web.Request) -> web.Response:
        api = self._store.record("apis", request.match_info["id"])
        behaviour = self._store.behaviour
        if api["isActive"] and not behaviour.hot_update:
            raise Refused(400, "API is active. Deactivate the API to update it.")
        sent = await read_import(request, behaviour, self.reachable, api)
        if api["isActive"] and (sent.name, sent.version) != (api["apiName"], api["apiVersion"]):
            raise Refused(400, "Name and version of an active API cannot be changed")
        if sent.name != api["apiName"] and sent.name in self._store.versions:
            raise Refused(behaviour.duplicate_api,
                          f"API with apiName {sent.name} already exists")  # fmt: skip
        self._store.apis.touch(api["id"])
        if api["isActive"] and behaviour.fails_hot_updates:
            api["isActive"] = False
            raise Refused(500, "Error while saving the API")
        old_tags = api["apiDefinition"].get("tags") or []
        self._rename(api, sent.name)
        kept_scopes, kept_maturity = api["scopes"], api["maturityState"]
        # Not the policies and their actions: the route goes on to where it went.
        api.update(_described(sent), apiVersion=sent.version, lastModified=self._store.now(),
                   scopes=kept_scopes if sent.scopes is None else sent.scopes,
                   maturityState=sent.maturity or kept_maturity)  # fmt: skip
        if request.query.get("overwriteTags") == "false":
            api["apiDefinition"] = {**api["apiDefinition"], "tags": old_tags}
        self._store.sources[api["id"]] = sent.document.source
        return self._envelope(api)

    def _rename(self, api: Tree, name: str) -> None:
        if name != api["apiName"]:
            self._store.versions[name] = self._store.versions.pop(api["apiName"])
            for key in self._store.versions[name]:
                self._store.apis.touch(key)
                self._store.record("apis", key)["apiName"] = name

    async def switch(self, request: web.Request) -> web.Response:
        """`/activate` and `/deactivate`."""
        api = self._store.record("apis", request.match_info["id"])
        is_on = request.match_info["verb"] == "activate"
        if api["isActive"] == is_on:
            raise Refused(400, f"API is {'active' if is_on else 'inactive'} already")
        if is_on:
            activate(self._store, api)
        else:
            self._store.apis.touch(api["id"])
            api["isActive"] = False
        return self._envelope(api)

    async def new_version(self, request: web.Request) -> web.Response:
        api = self._store.record("apis", request.match_info["id"])
        body = await object_of(request)
        # `newapiversion`, `RetainApplications`: other cases are passed over.
        version = body.get("newApiVersion")
        ids = self._store.versions[api["apiName"]]
        if not isinstance(version, str) or not version:
            raise Refused(400, "newApiVersion is empty")
        if ids[-1] != api["id"]:
            raise Refused(400, "Versioning is allowed only from latest version")
        if version in (self._version(key) for key in ids):
            raise Refused(400, f"API version {version} already exists")
        key, now = self._store.new_id(), self._store.now()
        policies = [self._store.policies.get(one) for one in api["policies"]]
        made = {**deepcopy(api), "id": key, "apiVersion": version, "isActive": False,
                "policies": [clone(self._store, one)["id"] for one in policies if one],
                "systemVersion": api["systemVersion"] + 1, "prevVersion": api["id"],
                "creationDate": now, "lastModified": now, "publishedPortals": []}  # fmt: skip
        self._store.apis.touch(api["id"])
        api["nextVersion"] = key
        self._store.apis.put(key, made)
        self._store.sources[key] = self._store.sources[api["id"]]
        ids.append(key)
        if body.get("retainApplications") is True:
            for app in self._store.consumers_of(api["id"]):
                self._store.applications.touch(app["id"])
                app["consumingAPIs"].append(key)
        return self._envelope(made, self._store.behaviour.created)

    async def delete(self, request: web.Request) -> web.Response:
        api = self._store.record("apis", request.match_info["id"])
        failed = self._refusal(api, is_forced=request.query.get("forceDelete") == "true")
        if failed is not None:
            return web.json_response(failed)
        self._drop(api)
        return web.Response(status=204)

    async def delete_many(self, request: web.Request) -> web.Response:
        ids = csv(request, "apiIds")
        if not ids:
            raise Refused(400, "apiIds is missing")
        failed = []
        for key in ids:
            try:
                api = self._store.record("apis", key)
                why = self._refusal(api, is_forced=request.query.get("forceDelete") == "true")
            except Refused as error:
                why = {"apiId": key, "errorReason": error.body["errorDetails"]}
            if why is not None:
                failed.append(why)
            else:
                self._drop(api)
        return web.json_response({"apiResponse": failed}) if failed else web.Response(status=204)

    def _refusal(self, api: Tree, *, is_forced: bool) -> Tree | None:
        if api["isActive"] or api["publishedPortals"]:
            raise Refused(400, "API is active, or published to a portal")
        if self._store.consumers_of(api["id"]) and not is_forced:
            # With 200: who looks at the status only believes that it is gone.
            return {"apiId": api["id"], "errorReason": "Applications are associated with the API"}
        return None

    def _drop(self, api: Tree) -> None:
        for app in self._store.consumers_of(api["id"]):
            self._store.applications.touch(app["id"])
            app["consumingAPIs"].remove(api["id"])
        scoped = [key for scope in api["scopes"] for key in scope.get("policies") or ()]
        for key in [*api["policies"], *scoped]:
            policy = self._store.policies.get(key)
            if policy is not None:
                self._store.drop_policy(policy)
        self._store.apis.drop(api["id"])
        self._store.sources.pop(api["id"], None)
        ids = self._store.versions[api["apiName"]]
        ids.remove(api["id"])
        if not ids:
            del self._store.versions[api["apiName"]]


def activate(store: Store, api: Tree) -> None:
    """Serve an API. Raises Refused: nothing enabled (400), a dangling reference (500)."""
    if not documents.has_resources(api["apiDefinition"]):
        raise Refused(400, "API cannot be activated: no resource is enabled")
    for key in api["policies"]:
        policy = store.policies.get(key)
        actions = [] if policy is None else store.action_ids(policy)
        if policy is None or any(one not in store.actions for one in actions):
            raise Refused(500, "Error while activating the API. java.lang.NullPointerException")
    store.apis.touch(api["id"])
    api["isActive"] = True
    store.bindings[api["id"]] = bound_aliases(store, api)


def _entry(api: Tree) -> Tree:
    shown = {name: api[name] for name in _LISTED if api.get(name) is not None}
    return {"api": shown, "responseStatus": "SUCCESS", "teams": _TEAMS}


def _described(sent: Import) -> Tree:
    document = sent.document
    native = [{"uri": uri, "passSecurityHeaders": True, "connectionTimeoutDuration": 0,
               "alias": False} for uri in document.endpoints]  # fmt: skip
    description = document.description if sent.description is None else sent.description
    return {"apiDefinition": document.definition, "nativeEndpoint": native,
            "apiDescription": description, "type": document.kind}  # fmt: skip
