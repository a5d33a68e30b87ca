"""Policies, their actions, stages and templates."""

from __future__ import annotations

from copy import deepcopy

from aiohttp import web

from tests.adapters.webmethods.double import templates
from tests.adapters.webmethods.double.answers import (
    Refused,
    Tree,
    csv,
    json_of,
    object_of,
    unprocessable,
)
from tests.adapters.webmethods.double.scopes_of_policies import is_selected
from tests.adapters.webmethods.double.store import Store

_SCOPES = ("GLOBAL", "SERVICE", "SCOPE", "TEMPLATE", "PACKAGE", "METHOD", "OPERATION", "RESOURCE")
_DEFAULTS: Tree = {
    "descriptions": [], "scope": {"scopeConditions": []}, "policyEnforcements": [],
    "global": False, "active": False, "systemPolicy": False,
}  # fmt: skip


class Policies:
    """Handlers of one double."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # actions

    async def list_actions(self, request: web.Request) -> web.Response:
        wanted = csv(request, "policyActionIds")
        found = [one for one in self._store.actions.listed()
                 if wanted is None or one["id"] in wanted]  # fmt: skip
        # The key is in the singular (contract A.4).
        return web.json_response({"policyAction": found})

    async def get_action(self, request: web.Request) -> web.Response:
        found = self._store.record("actions", request.match_info["id"])
        return web.json_response({"policyAction": found})

    async def create_action(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        if not isinstance(body, dict) or "policyAction" not in body:
            raise unprocessable()
        templates.check_action(body["policyAction"])
        key = self._store.new_id()
        self._store.actions.put(key, _action(body["policyAction"], key))
        return web.json_response({"policyAction": self._store.actions.get(key)}, status=201)

    async def update_action(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        held = self._store.record("actions", key)
        body = await json_of(request)
        sent = body.get("policyAction") if isinstance(body, dict) else None
        if not isinstance(sent, dict) or sent.get("id") != key:
            # A naked body, or one without its id: accepted, and nothing is stored.
            return web.json_response({"policyAction": held})
        templates.check_action(sent)
        self._store.actions.put(key, _action(sent, key))
        return web.json_response({"policyAction": self._store.actions.get(key)})

    async def delete_action(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        self._store.record("actions", key)
        # References in policies stay, and dangle.
        self._store.actions.drop(key)
        return web.Response(status=204)

    # templates

    async def list_templates(self, request: web.Request) -> web.Response:
        wanted = csv(request, "policyActionTemplates")
        found = [templates.shown(one) for key, one in templates.TEMPLATES.items()
                 if wanted is None or key in wanted]  # fmt: skip
        return web.json_response({"policyActionTemplates": found})

    async def get_template(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        if key not in templates.TEMPLATES:
            raise Refused(404, f"Unable to find the resource: {key}")
        found = templates.shown(templates.TEMPLATES[key])
        return web.json_response({"policyActionTemplates": found})

    async def list_stages(self, request: web.Request) -> web.Response:
        return web.json_response({"stages": templates.stages()})

    # policies

    async def list(self, request: web.Request) -> web.Response:
        wanted, kind = csv(request, "policyIds"), request.query.get("policyType")
        stage = request.query.get("stage")
        found = [
            one
            for one in self._store.policies.listed()
            if (wanted is None or one["id"] in wanted)
            and (kind is None or one["policyScope"] == kind.upper())
            and (stage is None or any(e["stageKey"] == stage for e in one["policyEnforcements"]))
        ]
        return web.json_response({"policy": found})

    async def get(self, request: web.Request) -> web.Response:
        found = self._store.record("policies", request.match_info["id"])
        return web.json_response({"policy": found})

    async def list_apis(self, request: web.Request) -> web.Response:
        policy = self._store.record("policies", request.match_info["id"])
        active = request.query.get("active")
        found = [
            {"api": api, "responseStatus": "SUCCESS"}
            for api in self._store.apis
            if (policy["id"] in api["policies"] or (policy["global"] and is_selected(policy, api)))
            and (active is None or api["isActive"] == (active == "true"))
        ]
        return web.json_response({"apiResponse": found})

    async def create(self, request: web.Request) -> web.Response:
        if request.query.get("action") == "clone":
            return self._clone(request)
        body = await object_of(request)
        if not isinstance(body.get("policy"), dict):
            raise unprocessable()
        key = self._store.new_id()
        policy = {**deepcopy(_DEFAULTS), **body["policy"], "id": key,
                  "active": False, "systemPolicy": False}  # fmt: skip
        self._check(policy)
        self._store.policies.put(key, policy)
        return web.json_response({"policy": policy}, status=201)

    def _clone(self, request: web.Request) -> web.Response:
        found = []
        for key in csv(request, "policyIds") or ():
            policy = clone(self._store, self._store.record("policies", key))
            policy["policyScope"] = request.query.get("policyScope", policy["policyScope"])
            found.append(policy)
        return web.json_response({"policy": found}, status=201)

    async def update(self, request: web.Request) -> web.Response:
        held = self._store.record("policies", request.match_info["id"])
        body = await json_of(request)
        sent = body.get("policy") if isinstance(body, dict) else None
        if not isinstance(sent, dict) or sent.get("id", held["id"]) != held["id"]:
            # As with actions: a naked body is accepted, and nothing is stored.
            return web.json_response({"policy": held})
        if held["systemPolicy"]:
            raise Refused(400, "System policies cannot be changed")
        kept = {name: held[name] for name in ("id", "active", "systemPolicy", "policyScope")}
        policy = {**deepcopy(_DEFAULTS), **sent, **kept}
        self._check(policy)
        self._store.policies.put(held["id"], policy)
        return web.json_response({"policy": policy})

    def _check(self, policy: Tree) -> None:
        if policy.get("policyScope") not in _SCOPES or not policy.get("names"):
            raise unprocessable()
        placed: list[tuple[str, str]] = []
        stages = [one.get("stageKey") for one in policy["policyEnforcements"]]
        if set(stages) - set(templates.STAGES) or len(stages) != len(set(stages)):
            raise Refused(400, "Invalid stageKey in policyEnforcements")
        for stage in policy["policyEnforcements"]:
            for one in stage["enforcements"]:
                action = self._store.actions.get(one["enforcementObjectId"])
                # An id that nobody has is taken; activation then fails.
                if action is not None:
                    placed.append((stage["stageKey"], action["templateKey"]))
        for stage_key, key in placed:
            template = templates.TEMPLATES[key]
            if template.stage != stage_key:
                raise Refused(400, f"{key} is not applicable in the stage {stage_key}")
            if template.is_single and placed.count((stage_key, key)) > 1:
                raise Refused(400, f"{key} may occur once in the stage {stage_key}")
            missing = set(template.dependent) - {other for _, other in placed}
            if missing:
                raise Refused(400, f"{key} needs {', '.join(sorted(missing))}")

    async def delete(self, request: web.Request) -> web.Response:
        policy = self._store.record("policies", request.match_info["id"])
        if policy["systemPolicy"] or (policy["global"] and policy["active"]):
            raise Refused(500, "The policy is active, or a policy of the system")
        self._store.drop_policy(policy)
        return web.Response(status=204)

    async def switch(self, request: web.Request) -> web.Response:
        """`/activate` and `/deactivate`: policies of all APIs only."""
        policy = self._store.record("policies", request.match_info["id"])
        is_on = request.match_info["verb"] == "activate"
        if not policy["global"]:
            raise Refused(400, "Only global policies can be activated or deactivated")
        if policy["active"] == is_on:
            raise Refused(400, f"The policy is {'active' if is_on else 'inactive'} already")
        if is_on:
            self._refuse_conflicts(policy)
        self._store.policies.touch(policy["id"])
        policy["active"] = is_on
        return web.json_response({"policy": policy})

    async def conflicts(self, request: web.Request) -> web.Response:
        self._refuse_conflicts(self._store.record("policies", request.match_info["id"]))
        return web.json_response({})

    async def threat_verb(self, request: web.Request) -> web.Response:
        self._store.record("policies", request.match_info["id"])
        raise Refused(400, "Only rules of threat protection know an order")

    def _refuse_conflicts(self, policy: Tree) -> None:
        reason = []
        mine = self._single_templates(policy)
        for api in self._store.apis:
            if not is_selected(policy, api):
                continue
            others = [
                other
                for other in self._store.policies
                if other["id"] != policy["id"]
                and (other["id"] in api["policies"]
                     or (other["global"] and other["active"] and is_selected(other, api)))
            ]  # fmt: skip
            errors = [
                {"error": {"templateId": key, "errorType": "OCCURRENCE", "allowedOccurence": 1},
                 "conflictingPolicies": [other["id"]]}
                for other in others
                for key in sorted(mine & self._single_templates(other))
            ]  # fmt: skip
            if errors:
                reason.append({"apiId": api["id"], "apiName": api["apiName"],
                               "errorOnResource": errors})  # fmt: skip
        if reason:
            raise Refused(500, "Policy conflicts are detected", reason=reason)

    def _single_templates(self, policy: Tree) -> set[str]:
        actions = (self._store.actions.get(key) for key in self._store.action_ids(policy))
        keys = {one["templateKey"] for one in actions if one is not None}
        return {key for key in keys if templates.TEMPLATES[key].is_single}


def clone(store: Store, policy: Tree) -> Tree:
    """Store a copy of a policy with actions of its own; return it."""
    made = deepcopy(policy)
    made["id"] = store.new_id()
    for stage in made["policyEnforcements"]:
        for placed in stage["enforcements"]:
            action = store.actions.get(placed["enforcementObjectId"])
            if action is not None:
                key = store.new_id()
                store.actions.put(key, {**deepcopy(action), "id": key})
                placed["enforcementObjectId"] = key
    return store.policies.put(made["id"], made)


def _action(sent: Tree, key: str) -> Tree:
    template = templates.TEMPLATES[sent["templateKey"]]
    shown = templates.names(template.read_name) if template.read_name else sent.get("names") or []
    return {
        "id": key,
        "names": shown,
        "descriptions": sent.get("descriptions") or [],
        "templateKey": template.key,
        "parameters": deepcopy(sent["parameters"]),
        # Sent or not, it has no effect.
        "active": False,
    }
