"""The forms in which a definition is shown: echoed, stored, by the Automation API, by v2."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any, Final

from tests.adapters.gravitee.double.plugins import (
    POLICIES,
    shared_with_defaults,
    with_defaults,
)
from tests.adapters.gravitee.double.store import Api, Plan, Tree
from tests.adapters.gravitee.double.texts import sanitized

_KNOWN = (
    "name", "description", "version", "type", "tags", "listeners", "endpointGroups", "analytics",
    "failover", "properties", "resources", "flowExecution", "flows", "responseTemplates",
    "services", "groups", "visibility", "state", "labels", "metadata", "lifecycleState",
    "categories", "members", "notifyMembers", "pages", "consoleNotification",
    "allowedInApiProducts", "allowMultiJwtOauth2Subscriptions",
)  # fmt: skip
_EMPTY_LISTS = ("tags", "properties", "resources", "flows", "groups", "labels", "metadata",
                "categories", "members", "pages")  # fmt: skip
_FAILOVER = {
    "maxRetries": 2, "slowCallDuration": 2000, "openStateDuration": 10000, "maxFailures": 5,
    "perSubscription": True,
}  # fmt: skip
EMAIL = {
    "key": "email-support",
    "name": "email-support",
    "format": "MAIL",
    "value": "${(api.primaryOwner.email)!''}",
    "defaultValue": "support@change.me",
}


def path_of(path: str) -> str:
    return re.sub("/+", "/", f"/{path}/")


def echoed(body: Tree, version: tuple[int, int]) -> Tree:
    """What a PUT answers: the request with the fields that reading it fills in."""
    found = {name: deepcopy(body[name]) for name in _KNOWN if body.get(name) is not None}
    found["hrid"] = body["hrid"]
    for name in _EMPTY_LISTS:
        found.setdefault(name, [])
    found["name"] = str(found["name"])
    found.setdefault("responseTemplates", {})
    found.setdefault("visibility", "PUBLIC")
    found.setdefault("notifyMembers", True)
    for name in ("state", "visibility", "lifecycleState", "type"):
        if name in found:
            found[name] = str(found[name]).upper()
    found["listeners"] = [_listener(one) for one in body.get("listeners") or ()]
    found["endpointGroups"] = [_group(one) for one in body.get("endpointGroups") or ()]
    found["flows"] = [_flow(one, version) for one in found["flows"]]
    if "failover" in found:
        found["failover"] = {"enabled": False, **_FAILOVER, **found["failover"]}
        if version >= (4, 12):
            found["failover"].setdefault("forceNextEndpointOnFailure", False)
    found["plans"] = [_plan(one, version) for one in body.get("plans") or ()]
    for resource in found["resources"]:
        resource.setdefault("enabled", True)
    for page in found["pages"]:
        page.setdefault("published", False)
        page.setdefault("homepage", False)
    for template in found["responseTemplates"].values():
        for answer in template.values():
            answer.setdefault("propagateErrorKeyToLogs", False)
            answer.setdefault("headers", {})
    if version >= (4, 12):
        found.setdefault("allowedInApiProducts", False)
        found.setdefault("allowMultiJwtOauth2Subscriptions", False)
        found["portalNavigation"] = []
    return found


def _listener(listener: Tree) -> Tree:
    found = {name: item for name, item in listener.items() if name != "pathMappings"}
    found["paths"] = [{"overrideAccess": False, **path} for path in listener.get("paths") or ()]
    found["entrypoints"] = [{"qos": "AUTO", **entry} for entry in listener.get("entrypoints") or ()]
    found.setdefault("servers", [])
    if found.get("cors"):
        found["cors"] = {"exposeHeaders": [], "maxAge": -1, **found["cors"]}
    return deepcopy(found)


def _group(group: Tree) -> Tree:
    found = deepcopy(group)
    for endpoint in found.get("endpoints") or ():
        endpoint.setdefault("weight", 1)
        endpoint.setdefault("inheritConfiguration", False)
        endpoint.setdefault("secondary", False)
        endpoint.setdefault("tenants", [])
    if (found.get("services") or {}).get("healthCheck"):
        found["services"]["healthCheck"].setdefault("overrideConfiguration", False)
    return found


def _flow(flow: Tree, version: tuple[int, int]) -> Tree:
    connect = "entrypointConnect" if version >= (4, 12) else "connect"
    lists: Tree = {
        name: [] for name in ("request", "response", "subscribe", "publish", connect, "interact",
                              "tags")
    }  # fmt: skip
    found = {**lists, **deepcopy(flow)}
    for selector in found.get("selectors") or ():
        if selector.get("type") == "HTTP":
            selector.setdefault("methods", [])
    return found


PLAN_OPTIONAL: Final[Tree] = {
    "selectionRule": None, "characteristics": [], "excludedGroups": [], "tags": [],
    "generalConditions": None, "commentRequired": False, "commentMessage": None,
}  # fmt: skip
"""Fields of a plan that PUT of the management API v2 empties where they are left out."""


def _plan(plan: Tree, version: tuple[int, int]) -> Tree:
    lists: Tree = {name: [] for name in ("characteristics", "excludedGroups", "tags", "flows")}
    found = {**lists, **deepcopy(plan)}
    found["flows"] = [_flow(one, version) for one in found["flows"]]
    found.pop("id", None)
    return found


def stored(body: Tree, version: tuple[int, int]) -> Tree:
    """What is kept of a definition: paths normalised, defaults of plugins put in; no plans."""
    found = echoed({"hrid": "x", **body}, version)
    for name in ("hrid", "portalNavigation", "plans"):
        found.pop(name, None)
    found["notifyMembers"] = False
    for name in ("name", "description"):
        if found.get(name):
            found[name] = sanitized(found[name])
    for listener in found["listeners"]:
        for path in listener["paths"]:
            path["path"] = path_of(path["path"])
        if listener.get("cors"):
            cors = {"allowCredentials": False, "runPolicies": False, **listener["cors"]}
            cors["allowHeaders"] = [name.lower() for name in cors.get("allowHeaders") or ()]
            listener["cors"] = cors
    idle = 60000 if version >= (4, 12) else 0
    for group in found["endpointGroups"]:
        group.setdefault("loadBalancer", {"type": "ROUND_ROBIN"})
        group.setdefault("services", {})
        if group.get("sharedConfiguration") is not None:
            group["sharedConfiguration"] = shared_with_defaults(group["sharedConfiguration"], idle)
        for endpoint in group["endpoints"]:
            endpoint.setdefault("services", {})
    found.setdefault("analytics", {"enabled": True})
    found.setdefault("flowExecution", {"mode": "DEFAULT", "matchRequired": False})
    found["flows"] = [stored_flow(flow) for flow in found["flows"]]
    for entry in found["properties"]:
        entry.setdefault("dynamic", False)
        entry["encryptable"] = bool(entry.get("encryptable"))
    for entry in found["metadata"]:
        entry.setdefault("key", re.sub("[^a-z0-9]+", "-", entry["name"].lower()))
    found["metadata"] = [one for one in found["metadata"] if one["key"] != EMAIL["key"]]
    return found


def stored_flow(flow: Tree) -> Tree:
    found = deepcopy(flow)
    for phase in ("request", "response"):
        for step in found.get(phase) or ():
            schema = POLICIES.get(step["policy"], {})
            step["configuration"] = with_defaults(schema, step.get("configuration") or {})
    return found


def stored_plan(plan: Tree, version: tuple[int, int]) -> Tree:
    found = _plan(plan, version)
    found["flows"] = [stored_flow(flow) for flow in found["flows"]]
    return found


def automation_view(api: Api, version: tuple[int, int]) -> Tree:
    """What GET of the Automation API answers."""
    spec = deepcopy(api.spec)
    spec["metadata"] = [EMAIL if version >= (4, 12) else {**EMAIL, "hidden": False}] + [
        one if version >= (4, 12) else {**one, "hidden": False} for one in spec["metadata"]
    ]
    for entry in spec["properties"]:
        if entry["key"] in api.encrypted:
            entry["value"] = cipher(entry["value"])
        entry["encryptable"] = False
    for page in spec["pages"]:
        page.setdefault("configuration", {})
    plans = []
    for plan in sorted(api.plans, key=lambda one: one.order):
        if plan.spec["status"] != "CLOSED":
            own = {"id": plan.id} if version >= (4, 12) else {}
            plans.append({**own, **deepcopy(plan.spec)})
    return {**spec, "hrid": api.hrid, "plans": plans, "id": api.id, "crossId": api.cross_id}


def cipher(text: str) -> str:
    return f"enc({text[::-1]})=="


def v2_view(api: Api, version: tuple[int, int]) -> Tree:
    """What the management API v2 shows, without plans."""
    spec = deepcopy(api.spec)
    left_out = ("version", "metadata", "members", "pages", "notifyMembers", "consoleNotification")
    found = {name: item for name, item in spec.items() if name not in left_out}
    for listener in found["listeners"]:
        listener.setdefault("pathMappings", [])
    for entry in found["properties"]:
        entry["encrypted"] = entry["key"] in api.encrypted
        if entry["encrypted"]:
            entry["value"] = cipher(entry["value"])
    is_deployed = api.origin == "KUBERNETES" or api.live == _deployable(api)
    context: Tree = {"origin": api.origin}
    if api.origin == "KUBERNETES":
        context |= {"mode": "FULLY_MANAGED", "syncFrom": "KUBERNETES"}
    return {
        **found,
        "definitionVersion": "V4",
        "id": api.id,
        "apiVersion": spec["version"],
        "createdAt": api.created,
        "updatedAt": api.updated,
        **({"deployedAt": api.deployed} if api.deployed else {}),
        **({"crossId": api.cross_id} if api.cross_id else {}),
        "disableMembershipNotifications": api.origin == "KUBERNETES",
        "deploymentState": "DEPLOYED" if is_deployed else "NEED_REDEPLOY",
        "primaryOwner": {"id": f"id-of-{api.account}", "displayName": api.account, "type": "USER"},
        "originContext": context,
        "definitionContext": {"mode": "FULLY_MANAGED", "syncFrom": "MANAGEMENT", **context},
        "_links": {"backgroundUrl": f"http://x/{api.id}/background?hash={api.updated}"},
    }


def _deployable(api: Api) -> Tree:
    return {"spec": deepcopy(api.spec), "updated": api.updated}


def deployed_form(api: Api) -> Tree:
    return _deployable(api)


def plan_view(plan: Plan, api: Api, version: tuple[int, int]) -> Tree:
    left_out = ("hrid", "type") if version >= (4, 12) else ("hrid",)
    spec = {name: item for name, item in deepcopy(plan.spec).items() if name not in left_out}
    found: Tree = {
        **spec,
        "definitionVersion": "V4",
        "id": plan.id,
        "apiId": api.id,
        "commentRequired": False,
        "createdAt": plan.created,
        "updatedAt": plan.updated,
        "order": plan.order,
    }
    if plan.cross_id and version >= (4, 12):
        found["crossId"] = plan.cross_id
    if plan.published:
        found["publishedAt"] = plan.published
    return found


def page_of(items: list[Any], query: Any, size: int) -> tuple[list[Any], int, int]:
    number, length = int(query.get("page", 1)), int(query.get("perPage", query.get("size", size)))
    return items[(number - 1) * length : number * length], number, length
