"""Writes APIs by single calls of the management API v2, in the order that the server demands.

On create: API, plans, publish, deploy, start. On an update of a started API the deployment comes
before anything starts, for `_start` publishes the last deployed definition anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapters.gravitee.api.client import DELETED, GraviteeClient
from stoa_gitops.adapters.gravitee.entities.defaults import PLAN_CARRIED_BY_V2
from stoa_gitops.adapters.gravitee.entities.marks import ApplicationMark, key_in, marks_in
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.added_fields import find_added
from stoa_gitops.adapters.gravitee.mapping.apis import carry_over
from stoa_gitops.adapters.gravitee.mapping.plans import read_plan_name
from stoa_gitops.adapters.gravitee.mapping.unmapped_fields import differences
from stoa_gitops.errors import GatewayMalformed

_NOT_OF_V2: Final = (
    "hrid",
    "version",
    "plans",
    "state",
    "notifyMembers",
    "pages",
    "members",
    "metadata",
)
_ON_CREATE: Final[tuple[str, ...]] = (
    "name", "type", "listeners", "endpointGroups", "visibility", "flows", "flowExecution",
    "analytics", "failover",
)  # fmt: skip
"""What POST takes; everything else needs a PUT after it (contract gravitee.md A.3)."""

_STARTED: Final = "STARTED"


class ClassicWay:
    """4.0 and later, and every API that was made by hand and adopted."""

    def __init__(self, client: GraviteeClient, info: GatewayInfo) -> None:
        self._client, self._info = client, info

    async def put(
        self, definition: JsonTree, held: Mapping[str, Any] | None
    ) -> tuple[str, tuple[str, ...]]:
        """Create or update an API; what fails half way is finished by the next write."""
        if held is None:
            held = await self._create(definition)
        api_id, name = str(held["id"]), str(definition["name"])
        path = f"{self._client.v2}/apis/{api_id}"
        body = v2_of(carry_over(definition, held, self._info))
        await self._client.call("PUT", path, f"writing API {name}", body)
        await self._write_plans(path, definition, held)
        await self._set_state(path, name, definition, held)
        return api_id, ()

    async def _create(self, definition: JsonTree) -> JsonTree:
        what = f"creating API {definition['name']}"
        body: JsonTree = {name: definition[name] for name in _ON_CREATE if name in definition}
        body |= {"apiVersion": definition["version"], "definitionVersion": "V4"}
        # POST takes no properties, so that the mark of an API that gets no further is its
        # description, which the PUT replaces.
        body["description"] = creation_mark(definition)
        path = f"{self._client.v2}/apis"
        response = await self._client.call("POST", path, what, body, repeatable=False)
        created: JsonTree = response.json(what, dict)
        if not created.get("id"):
            raise GatewayMalformed(f"{what}: no id in the answer")
        return {"id": created["id"], "plans": [], "state": created.get("state")}

    async def _write_plans(self, path: str, definition: JsonTree, held: Mapping[str, Any]) -> None:
        there: dict[object, Mapping[str, Any]] = {}
        # Of two, because a list missed one of them once, the first has the subscribers.
        for plan in sorted(
            held.get("plans") or (), key=lambda one: str(one.get("createdAt") or "")
        ):
            there.setdefault(read_plan_name(plan), plan)
        kept: set[str] = set()
        for plan in definition["plans"]:
            other = there.get(read_plan_name(plan))
            if other is None:
                await self._create_plan(path, plan)
                continue
            kept.add(str(other["id"]))
            await self._update_plan(path, plan, other)
        for plan in held.get("plans") or ():
            if str(plan["id"]) not in kept:
                await self._close_plan(path, plan)

    async def _create_plan(self, path: str, plan: Mapping[str, Any]) -> None:
        what = f"creating plan {plan['name']}"
        fields = {
            name: item for name, item in plan.items() if name not in ("hrid", "status", "type")
        }
        body = {"definitionVersion": "V4", "description": "", **fields}
        response = await self._client.call("POST", f"{path}/plans", what, body, repeatable=False)
        created = response.json(what, dict)
        await self._publish(f"{path}/plans/{created.get('id')}", str(plan["name"]))

    async def _update_plan(
        self, path: str, plan: Mapping[str, Any], held: Mapping[str, Any]
    ) -> None:
        at = f"{path}/plans/{held['id']}"
        wanted = {name: plan[name] for name in ("name", "security", "flows")}
        is_other = any(True for _ in differences(wanted, held, "")) or held.get("selectionRule")
        added = find_added({n: plan[n] for n in ("security", "flows")}, _part(held), "", self._info)
        if is_other or any(True for _ in added):
            body = {
                **{name: held[name] for name in PLAN_CARRIED_BY_V2 if held.get(name)},
                "definitionVersion": "V4",
                "name": plan["name"],
                "description": str(held.get("description") or ""),
                "validation": held.get("validation") or plan["validation"],
                "flows": plan["flows"],
                "security": {"configuration": plan["security"].get("configuration") or {}},
            }
            await self._client.call("PUT", at, f"writing plan {plan['name']}", body)
        if held.get("status") == "STAGING":
            await self._publish(at, str(plan["name"]))

    async def _publish(self, path: str, name: str) -> None:
        await self._client.call("POST", f"{path}/_publish", f"publishing plan {name}")

    async def _close_plan(self, path: str, plan: Mapping[str, Any]) -> None:
        """Close a plan; its subscriptions end with it."""
        at = f"{path}/plans/{plan['id']}/_close"
        await self._tolerant("POST", at, f"closing plan {plan.get('name')}", "closed")

    async def _set_state(
        self, path: str, name: str, definition: JsonTree, held: Mapping[str, Any]
    ) -> None:
        wanted, before = definition["state"], held.get("state")
        if wanted == _STARTED:
            await self._client.call(
                "POST", f"{path}/deployments", f"deploying API {name}", {"deploymentLabel": "stoa"}
            )
            if before != _STARTED:
                await self._tolerant("POST", f"{path}/_start", f"starting API {name}", "started")
        elif before == _STARTED:
            await self._tolerant("POST", f"{path}/_stop", f"stopping API {name}", "stopped")

    async def delete(self, held: Mapping[str, Any]) -> None:
        """Delete an API: subscriptions, plans, stop, then the API. What is gone is skipped."""
        api_id, name = str(held["id"]), str(held.get("name") or held["id"])
        path = f"{self._client.v2}/apis/{api_id}"
        await close_subscriptions(self._client, api_id)
        if held.get("state") == _STARTED:
            await self._tolerant("POST", f"{path}/_stop", f"stopping API {name}", "stopped")
        for plan in await self._client.list_plans(api_id):
            await self._close_plan(path, plan)
        await self._client.call(
            "DELETE", f"{path}?closePlans=true", f"deleting API {name}", expect=DELETED
        )

    async def _tolerant(self, method: str, path: str, what: str, state: str) -> None:
        """Send a call that brings something into a state; that it is in it already is no fault."""
        try:
            await self._client.call(method, path, what, expect=(200, 202, 204, 404))
        except RequestRefused as error:
            if state not in str(error).lower():
                raise


async def close_subscriptions(client: GraviteeClient, api_id: str) -> None:
    """Close every subscription to an API that is not over, so that its keys end."""
    for one in await client.list_subscriptions(api_id):
        path = f"{client.v2}/apis/{api_id}/subscriptions/{one['id']}"
        what = f"closing subscription {one['id']}"
        verb = "_reject" if one.get("status") == "PENDING" else "_close"
        body = {"reason": "its API is gone"} if verb == "_reject" else None
        await client.call("POST", f"{path}/{verb}", what, body, expect=(200, 204, 400, 404))


def _part(plan: Mapping[str, Any]) -> JsonTree:
    return {name: plan.get(name) for name in ("security", "flows")}


def creation_mark(definition: Mapping[str, Any]) -> str:
    """Return the description of an API between its creation and its first PUT."""
    marks = marks_in(definition)
    key = key_in(marks)
    assert key is not None  # every definition of ours is marked
    return ApplicationMark(marks["owner"], key).text


def v2_of(definition: Mapping[str, Any]) -> JsonTree:
    """Return a definition as PUT of the management API v2 takes it."""
    body = {name: item for name, item in definition.items() if name not in _NOT_OF_V2}
    return {**body, "apiVersion": definition["version"], "definitionVersion": "V4"}
