"""APIs: the Automation API, `_import/crd`, and the management API v2."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from aiohttp import web

from tests.adapters.gravitee.double import forms
from tests.adapters.gravitee.double.checks import Checks, Refused, beans, invalid, java
from tests.adapters.gravitee.double.store import Api, Plan, Store, Tree, name_uuid

_JSON_SYNTAX = (
    "Unexpected character ('{0}' (code {1})): was expecting double-quote to start field name\n at"
    " [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, "
    "column: 2]"
)


async def body_of(request: web.Request) -> Any:
    if "yaml" in request.content_type:
        raise Refused(415)
    text = await request.text()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        message = _JSON_SYNTAX.format(text[1], ord(text[1]))
        raise Refused(400, text=message) from None


ACCOUNT = web.RequestKey("account", str)


class Apis:
    """Handlers of one double."""

    def __init__(self, store: Store, checks: Checks, version: tuple[int, int]) -> None:
        self._store, self._checks, self._version = store, checks, version

    # automation

    async def put(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        checks = self._checks
        checks.shape(body)
        checks.fields(body)
        hrids = [plan["hrid"] for plan in body.get("plans") or ()]
        if len(hrids) != len(set(hrids)):
            raise Refused(400, "Duplicate hrid found in plans", "invalid")
        org, env = request.match_info["org"], request.match_info["env"]
        hrid = body["hrid"]
        cross = name_uuid(org + hrid)
        api_id = name_uuid(cross + env)
        ids = {one: name_uuid(cross + env + one) for one in hrids}
        crosses = {one: name_uuid(cross + one) for one in hrids}
        checks.path_syntax(body)
        is_dry = request.query.get("dryRun") == "true"
        severe, warning = checks.severe(body, api_id), self._warnings(body)
        if severe and not is_dry:
            raise invalid(*severe)
        answer = forms.echoed(self._kept(body), self._version)
        answer |= {"id": api_id, "crossId": cross, "organizationId": org, "environmentId": env}
        if severe or warning or not is_dry:
            answer["errors"] = {"severe": severe, "warning": warning}
        if not is_dry:
            self._write(body, hrid, api_id, cross, ids, crosses, request[ACCOUNT])
        return web.json_response(answer)

    @staticmethod
    def _warnings(body: Tree) -> list[str]:
        found = [f"Group [{one}] could not be found in environment [DEFAULT]"
                 for one in body.get("groups") or ()]  # fmt: skip
        found += [f"category [{one}] is not defined in environment [DEFAULT]"
                  for one in body.get("categories") or ()]  # fmt: skip
        found += [f"member [{one['sourceId']}] of source [{one['source']}] could not be found in "
                  "organization [DEFAULT]" for one in body.get("members") or ()
                  if one["sourceId"] != "admin"]  # fmt: skip
        return found

    @staticmethod
    def _kept(body: Tree) -> Tree:
        return {**body, "groups": [], "categories": [], "members": []}

    def _write(
        self,
        body: Tree,
        hrid: str | None,
        api_id: str,
        cross: str,
        ids: dict[str, str],
        crosses: dict[str, str],
        account: str,
    ) -> Api:
        held = self._store.apis.get(api_id)
        self._checks.definition(body, held.spec if held else None)
        for plan in body.get("plans") or ():
            old = next((p for p in held.plans if p.id == ids[plan["hrid"]]), None) if held else None
            if old is not None and old.spec["status"] == "CLOSED" and plan["status"] != "CLOSED":
                name = plan["name"]
                raise java("io.gravitee.apim.core.exception.ValidationDomainException",
                           f"Invalid status for plan '{name}'")  # fmt: skip
        now = self._store.now()
        spec = forms.stored(self._kept(body), self._version)
        api = held or Api(api_id, spec, created=now, account=account)
        before = {entry["key"]: entry["value"] for entry in api.spec["properties"]}
        # Encrypted by the second write of the same value only (R.1 row 16).
        api.encrypted = {
            entry["key"]
            for entry in spec["properties"]
            if held and entry["encryptable"] and before.get(entry["key"]) == entry["value"]
        }
        api.spec, api.hrid, api.cross_id, api.origin = spec, hrid, cross, "KUBERNETES"
        api.updated = now
        self._store.apis[api_id] = api
        self._write_plans(api, body.get("plans") or (), ids, crosses)
        has_plan = any(plan.spec["status"] in ("PUBLISHED", "DEPRECATED") for plan in api.plans)
        if spec["state"] == "STARTED" and has_plan:
            self._deploy(api)
        elif spec["state"] == "STOPPED":
            api.live = None
        return api

    def _deploy(self, api: Api) -> None:
        api.deployed = api.updated = self._store.now()
        api.deployments += 1
        api.live = forms.deployed_form(api)

    def _write_plans(
        self, api: Api, wanted: Any, ids: dict[str, str], crosses: dict[str, str]
    ) -> None:
        held = {plan.id: plan for plan in api.plans}
        now = self._store.now()
        kept = []
        for order, plan in enumerate(wanted, 1):
            plan_id = ids[plan["hrid"]]
            one = held.pop(plan_id, None) or Plan(plan_id, {}, created=now)
            one.cross_id = crosses[plan["hrid"]]
            one.spec = forms.stored_plan(plan, self._version)
            one.order, one.updated = order, now
            if one.spec["status"] == "PUBLISHED":
                one.published = one.published or now
            kept.append(one)
        for gone in held.values():
            self.close_subscriptions(api.id, gone.id)
        api.plans = kept

    def close_subscriptions(self, api_id: str, plan_id: str | None = None) -> None:
        for one in self._store.subscriptions_of(api_id):
            if plan_id is None or one.plan_id == plan_id:
                if one.status == "PENDING":
                    one.status = "REJECTED"
                elif one.status != "REJECTED":
                    one.status = "CLOSED"
                for key in one.keys:
                    key.revoked_at = key.revoked_at or self._store.now()

    async def get(self, request: web.Request) -> web.Response:
        api = self._named(request)
        view = forms.automation_view(api, self._version)
        return web.json_response(
            {**view, "organizationId": request.match_info["org"],
             "environmentId": request.match_info["env"]}
        )  # fmt: skip

    async def delete(self, request: web.Request) -> web.Response:
        api = self._named(request)
        if api.origin == "MANAGEMENT" and api.spec["state"] == "STARTED":
            raise _running(api)
        self._erase(api)
        return web.Response(status=204)

    def _erase(self, api: Api) -> None:
        for one in self._store.subscriptions_of(api.id):
            del self._store.subscriptions[one.id]
        del self._store.apis[api.id]

    def _named(self, request: web.Request) -> Api:
        hrid = request.match_info["hrid"]
        org, env = request.match_info["org"], request.match_info["env"]
        api_id = name_uuid(name_uuid(org + hrid) + env)
        api = self._store.apis.get(api_id)
        is_legacy = request.query.get("hridContainsUUID" if self._version >= (4, 12) else "legacy")
        if api is None and is_legacy == "true":
            api = self._store.apis.get(hrid)
        if api is None:
            raise Refused(404, f"HRID [{hrid}] cannot be found.", "hrid.notFound")
        if request[ACCOUNT] not in ("admin", api.account):
            raise forbidden()
        return api

    # import

    async def import_crd(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self._crd_shape(body)
        is_dry = request.query.get("dryRun") == "true"
        api_id = body["id"]
        severe = self._checks.severe(
            {**body, "plans": list(body.get("plans", {}).values())}, api_id
        )
        if severe and not is_dry:
            raise Refused(400, f"Unable to import because of errors [{', '.join(severe)}]")
        plans = [{"hrid": name, **plan} for name, plan in (body.get("plans") or {}).items()]
        ids = {name: plan["id"] for name, plan in (body.get("plans") or {}).items()}
        env = request.match_info["env"]
        answer: Tree = {
            "organizationId": "DEFAULT", "environmentId": env, "crossId": body["crossId"],
            "id": api_id, "plans": ids, "state": body.get("state"),
        }  # fmt: skip
        if severe or not is_dry:
            answer["errors"] = {"severe": severe, "warning": []}
        if not is_dry:
            hrid = body["crossId"] if self._version < (4, 12) else None
            crosses = {name: name_uuid(body["crossId"] + name) for name in ids}
            whole = {"lifecycleState": "CREATED", **body, "plans": plans}
            api = self._write(whole, hrid, api_id, body["crossId"], ids, crosses, request[ACCOUNT])
            api.spec["notifyMembers"] = False
        return web.json_response(answer)

    def _crd_shape(self, body: Tree) -> None:
        if isinstance(body.get("labels"), str):
            message = (
                "Cannot construct instance of `java.util.ArrayList` (although at least one Creator "
                "exists): no String-argument constructor/factory method to deserialize from String "
                f"value ('{body['labels']}')"
            )
            if self._version < (4, 12):
                raise Refused(400, message)
            details = [{"message": message, "location": "labels"}]
            raise Refused(400, message, "invalidValue", details)
        found = []
        for name in ("id", "crossId", "version"):
            if body.get(name) is None:
                found += [(name, "must not be null"), (name, "must not be empty")]
        if found:
            raise beans([one for one in found if not (one[0] == "version" and "null" in one[1])])

    # v2

    def find(self, request: web.Request) -> Api:
        api_id = request.match_info["api"]
        api = self._store.apis.get(api_id)
        if api is None:
            raise Refused(404, f"Api [{api_id}] cannot be found.", "api.notFound")
        if request[ACCOUNT] not in ("admin", api.account):
            raise forbidden()
        return api

    async def list_v2(self, request: web.Request) -> web.Response:
        if int(request.query.get("perPage", 10)) < 1:
            raise beans([("perPage", "Pagination perPage param must be >= 1")])
        mine = [
            api for api in self._store.apis.values() if request[ACCOUNT] in ("admin", api.account)
        ]
        views = [
            forms.v2_view(api, self._version)
            for api in sorted(mine, key=lambda one: str(one.spec["name"]).lower())
        ]
        return paged(views, request)

    async def get_v2(self, request: web.Request) -> web.Response:
        api = self.find(request)
        headers = {"ETag": f'"{api.updated}"'}
        return web.json_response(forms.v2_view(api, self._version), headers=headers)

    async def create_v2(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        if not body.get("endpointGroups"):
            raise beans([("endpointGroups", "size must be between 1 and 2147483647")])
        spec: Tree = {
            "visibility": "PRIVATE", **body, "version": body["apiVersion"], "state": "STOPPED",
            "lifecycleState": "CREATED", "labels": [], "properties": [], "resources": [],
        }  # fmt: skip
        severe = self._checks.severe(spec, "")
        if severe:
            raise Refused(400, severe[0])
        self._v2_definition(spec)
        now = self._store.now()
        api = Api(self._store.new_id(), forms.stored(spec, self._version), created=now, updated=now)
        for listener in api.spec["listeners"] if self._version >= (4, 12) else ():
            listener["requestValidation"] = {"rejectNullByte": True}
        self._store.apis[api.id] = api
        return web.json_response(forms.v2_view(api, self._version), status=201)

    def _v2_definition(self, spec: Tree) -> None:
        """The same faults as the Automation API finds, under the statuses of v2."""
        try:
            self._checks.definition(spec, None)
        except Refused as error:
            message = str(error).partition(": ")[2]
            codes = {
                "PluginNotFound": (404, "plugin.notFound"),
                "EndpointNameAlready": (400, "api.endpointsGroup.endpoint.name.exists"),
            }
            for name, (status, code) in codes.items():
                if name in str(error):
                    raise Refused(status, message, code) from None
            raise Refused(400, message, "data.invalid") from None

    async def update_v2(self, request: web.Request) -> web.Response:
        api, body = self.find(request), await body_of(request)
        wanted = request.headers.get("If-Match")
        if wanted and wanted != f'"{api.updated}"':
            raise Refused(412)
        kept = {name: api.spec[name] for name in ("members", "pages", "metadata", "state")}
        spec = {
            "visibility": api.spec["visibility"], "lifecycleState": api.spec["lifecycleState"],
            **body, **kept, "version": body["apiVersion"],
        }  # fmt: skip
        severe = self._checks.severe(spec, api.id)
        if severe:
            raise Refused(400, severe[0])
        self._v2_definition(spec)
        api.encrypted = {
            entry["key"] for entry in spec.get("properties") or () if entry.get("encrypted")
        }
        api.spec = forms.stored(spec, self._version)
        api.updated = self._store.now()
        if api.origin == "KUBERNETES" and self._version < (4, 12):
            api.hrid = None
        return web.json_response(
            forms.v2_view(api, self._version), headers={"ETag": f'"{api.updated}"'}
        )

    async def delete_v2(self, request: web.Request) -> web.Response:
        api = self.find(request)
        if api.origin == "MANAGEMENT" and api.spec["state"] == "STARTED":
            raise _running(api)
        open_plans = [p.spec["name"] for p in api.plans if p.spec["status"] != "CLOSED"]
        if open_plans and request.query.get("closePlans") != "true":
            names = ", ".join(open_plans)
            message = f"Plan(s) [{names}] must be closed before being able to delete the API !"
            raise Refused(400, message, "api.notDeletable")
        self._erase(api)
        return web.Response(status=204)

    async def change_state(self, request: web.Request) -> web.Response:
        api, verb = self.find(request), request.match_info["verb"]
        wanted = "STARTED" if verb == "_start" else "STOPPED"
        if verb == "_start":
            self._needs_plan(
                api, "The API {%s} can not be started without at least one published plan"
            )
        if api.spec["state"] == wanted:
            if verb == "_start" and api.live is not None and self._version >= (4, 12):
                return web.Response(status=204)
            raise Refused(400, f"API is already {wanted.lower()}")
        api.spec["state"] = wanted
        if wanted == "STARTED" and not api.deployed:
            self._deploy(api)
        api.updated = self._store.now()
        if wanted == "STOPPED":
            api.live = None
        return web.Response(status=204)

    def _needs_plan(self, api: Api, message: str) -> None:
        if not any(p.spec["status"] in ("PUBLISHED", "DEPRECATED") for p in api.plans):
            raise Refused(400, message % api.id, "api.NotDeployable")

    async def deploy_v2(self, request: web.Request) -> web.Response:
        api, body = self.find(request), await body_of(request)
        if len((body or {}).get("deploymentLabel") or "") > 32:
            raise beans([("deploymentLabel", "size must be between 0 and 32")])
        self._needs_plan(
            api, "The api {%s} can not be deployed without at least one published plan"
        )
        self._deploy(api)
        return web.Response(status=202, headers={"ETag": f'"{api.updated}"'})

    async def detach(self, request: web.Request) -> web.Response:
        api = self.find(request)
        api.origin = "MANAGEMENT"
        return web.json_response(forms.v2_view(api, self._version))

    async def verify_paths(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        for path in body.get("paths") or ():
            normal = forms.path_of(path["path"])
            if self._checks.taken(path.get("host") or "", normal, body.get("apiId") or ""):
                reason = f"Path [{normal}] already exists"
                return web.json_response({"ok": False, "reason": reason}, status=202)
        return web.json_response({"ok": True}, status=202)

    # plans of v2

    async def list_plans(self, request: web.Request) -> web.Response:
        api = self.find(request)
        wanted = request.query.get("statuses", "PUBLISHED").split(",")
        found = [
            forms.plan_view(plan, api, self._version)
            for plan in sorted(api.plans, key=lambda one: one.order)
            if plan.spec["status"] in wanted
        ]
        return paged(found, request)

    async def get_plan(self, request: web.Request) -> web.Response:
        api, plan = self._plan(request)
        return web.json_response(forms.plan_view(plan, api, self._version))

    def _plan(self, request: web.Request) -> tuple[Api, Plan]:
        api = self.find(request)
        plan_id = request.match_info["plan"]
        for plan in api.plans:
            if plan.id == plan_id:
                return api, plan
        raise Refused(404, f"Plan [{plan_id}] cannot be found.", "plan.notFound")

    async def create_plan(self, request: web.Request) -> web.Response:
        api, body = self.find(request), await body_of(request)
        if body.get("name") is None:
            raise Refused(
                500, f"An error occurred while trying to create the plan: {self._store.new_id()}"
            )
        fault = self._checks.security_fault(body)
        if fault:
            raise Refused(400, fault, "data.invalid")
        now = self._store.now()
        # KEY_LESS without `validation` reads back as MANUAL (R.1 row 19).
        spec = {
            "validation": "MANUAL",
            "mode": "STANDARD",
            "type": "API",
            **body,
            "status": "STAGING",
        }
        spec.pop("definitionVersion", None)
        plan = Plan(self._store.new_id(), forms.stored_plan(spec, self._version), 0, now, now)
        api.plans.append(plan)
        view = {**forms.plan_view(plan, api, self._version), "type": "API"}
        if self._version >= (4, 12):
            del view["apiId"]
        return web.json_response(view, status=201)

    async def update_plan(self, request: web.Request) -> web.Response:
        (api, plan), body = self._plan(request), await body_of(request)
        if body.get("flows") is None:
            raise Refused(500, "flows is null")
        for name in ("name", "description", "validation", "flows"):
            if name in body:
                plan.spec[name] = deepcopy(body[name])
        # What is left out is gone (seen on 4.10.8).
        for name, nothing in forms.PLAN_OPTIONAL.items():
            if body.get(name) or plan.spec.get(name):
                plan.spec[name] = deepcopy(body.get(name) or nothing)
        configuration = (body.get("security") or {}).get("configuration")
        if configuration is not None:
            plan.spec["security"] = {"type": plan.security, "configuration": configuration}
        plan.spec = forms.stored_plan(plan.spec, self._version)
        plan.updated = self._store.now()
        return web.json_response(forms.plan_view(plan, api, self._version))

    async def move_plan(self, request: web.Request) -> web.Response:
        (api, plan), verb = self._plan(request), request.match_info["verb"]
        now = self._store.now()
        if verb == "_publish":
            others = [p for p in api.plans if p.id != plan.id and p.security == "KEY_LESS"]
            taken = any(p.spec["status"] in ("PUBLISHED", "DEPRECATED") for p in others)
            if plan.security == "KEY_LESS" and taken:
                message = "A key-less plan is already published (or has been deprecated)!"
                raise Refused(400, message, "plan.keyless.exists")
            plan.spec["status"], plan.published = "PUBLISHED", now
            plan.order = 1 + max(p.order for p in api.plans)
        elif verb == "_close":
            if plan.spec["status"] == "CLOSED":
                raise Refused(400, "Plan is already closed", "plan.closed")
            plan.spec["status"] = "CLOSED"
            self.close_subscriptions(api.id, plan.id)
        plan.updated = now
        return web.json_response(forms.plan_view(plan, api, self._version))

    async def delete_plan(self, request: web.Request) -> web.Response:
        api, plan = self._plan(request)
        if any(one.plan_id == plan.id for one in self._store.subscriptions_of(api.id)):
            message = (
                "You can't delete a plan with existing subscriptions. Please close it instead."
            )
            raise Refused(400, message, "plan.notDeletable")
        api.plans.remove(plan)
        return web.Response(status=204)


def forbidden() -> Refused:
    return Refused(403, "You do not have sufficient rights to access this resource", "forbidden")


def _running(api: Api) -> Refused:
    message = f"API [{api.id}] is still running and must be stopped before being deleted !"
    return Refused(400, message, "api.running")


def paged(items: list[Any], request: web.Request) -> web.Response:
    shown, number, size = forms.page_of(items, request.query, 10)
    if not items and request[ACCOUNT] != "admin":
        return web.json_response({"data": [], "pagination": {}})
    pagination = {
        "page": number, "perPage": size, "pageCount": -(-len(items) // size),
        "pageItemsCount": len(shown), "totalCount": len(items),
    }  # fmt: skip
    return web.json_response({"data": shown, "pagination": pagination, "links": {}})
