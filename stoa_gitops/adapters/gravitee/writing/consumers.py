"""Writes applications with their subscriptions and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.results import ok
from stoa_gitops.adapters.gravitee.api.client import DELETED, GraviteeClient
from stoa_gitops.adapters.gravitee.entities.consumers import LIVE
from stoa_gitops.adapters.gravitee.entities.ids import hrid_of
from stoa_gitops.adapters.gravitee.entities.marks import fingerprint, read_application_mark
from stoa_gitops.adapters.gravitee.entities.parts import ApplicationParts, GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.applications import (
    api_keys,
    compile_application,
    wanted_subscriptions,
)
from stoa_gitops.adapters.gravitee.mapping.rules import refuse_unsupported, stored_spec
from stoa_gitops.adapters.gravitee.node.session import Session
from stoa_gitops.adapters.gravitee.node.snapshot import Snapshot
from stoa_gitops.adapters.gravitee.writing.gates import PathGate
from stoa_gitops.adapters.gravitee.writing.pending import PendingChange
from stoa_gitops.adapters.gravitee.writing.subscriptions import (
    SubscriptionWriter,
    Target,
    is_right,
)
from stoa_gitops.errors import GatewayRefused, ObjectConflict
from stoa_gitops.model.keys import APPLICATION, Key

_OF_SERVER: Final = frozenset({"id", "environmentId", "organizationId", "status", "errors"})
"""Fields of an application that the Automation API shows and does not take."""

_ARCHIVED: Final = "ARCHIVED"


class ConsumerWriter:
    """Writes applications of one environment, each alone."""

    def __init__(self, client: GraviteeClient, session: Session, owner: str) -> None:
        self._client, self._session, self._owner = client, session, owner
        self._gate = PathGate()
        self._subscriptions = SubscriptionWriter(client, session)

    async def write(self, change: PendingChange, snapshot: Snapshot) -> AdapterResult:
        """Write one change of an application. Raises StoaGitopsError."""
        info = await self._session.gateway_info()
        async with self._gate.name(str(change.key)):
            if change.spec is None:
                await self._delete(change.root, snapshot, info)
                return ok(change.gateway_id)
            refusal = refuse_unsupported(change.spec, info)
            if refusal is not None:
                return refusal
            value = stored_spec(APPLICATION, change.spec.value)
            return await self._put(change, ApplicationParts(change.key, value), snapshot, info)

    # applications

    async def _put(
        self,
        change: PendingChange,
        parts: ApplicationParts,
        snapshot: Snapshot,
        info: GatewayInfo,
    ) -> AdapterResult:
        application = compile_application(parts, self._owner)
        value: Any = parts.value
        keys = api_keys(parts)
        if len(keys) > 1 and not info.has_keys:
            raise GatewayRefused(
                "more than one api_key credential: before 4.12 a subscription of Gravitee keeps "
                "one key that its caller chose"
            )
        held = await self._find(change, snapshot, info)
        await self._end_subscriptions(parts, snapshot)
        computed = info.options.ids.api(hrid_of(parts.key))
        is_computed = held is None or held["id"] == computed
        if info.has_subscriptions and is_computed:
            await self._put_automation(application)
            application_id = computed
        else:
            application_id = await self._put_classic(application, held)
        if held is not None and held.get("status") == _ARCHIVED:
            # Its subscriptions are pending now, and in no list that was read before.
            self._session.mark_changed(*await self._client.list_subscribed(application_id))
            snapshot = await self._session.read_snapshot()
        types = [str(one["type"]) for one in value["credentials"]]
        wanted = wanted_subscriptions(parts.key, types, value["subscriptions"], snapshot.apis)
        there = snapshot.subscriptions_of(application_id)
        by_plan = {one.plan_id: one for _, one in there if one.status in LIVE}
        prints = frozenset(fingerprint(key) for key in keys)
        target = Target(parts.key, application_id, keys, is_computed and info.has_subscriptions)
        for one in wanted:
            held_there = by_plan.pop(one.plan_id, None)
            if held_there is not None and is_right(one, held_there, prints):
                # Hundreds of them take longer than one write may: each write goes on from here.
                continue
            if held_there is None:
                held_there = await self._subscriptions.transfer(one, by_plan, wanted, there)
            await self._subscriptions.ensure(one, held_there, target, info)
        for api, other in there:
            if other.plan_id in by_plan and other.status in LIVE:
                await self._subscriptions.close(api.api_id, other)
        return ok(application_id)

    async def move(self, key: Key, value: Mapping[str, Any], api: Key, snapshot: Snapshot) -> None:
        """Bring the subscriptions of an application to one API to the plans that it wants.

        Nothing else of it is written. Raises GatewayError.
        """
        application_id = snapshot.application_ids.get(key, "")
        types = [str(one["type"]) for one in value.get("credentials") or ()]
        every = wanted_subscriptions(key, types, value["subscriptions"], snapshot.apis)
        wanted = [one for one in every if one.api.key == api]
        there = snapshot.subscriptions_of(application_id)
        by_plan = {one.plan_id: one for _, one in there if one.status in LIVE}
        for one in wanted:
            if one.plan_id not in by_plan:
                await self._subscriptions.transfer(one, by_plan, wanted, there)

    async def _end_subscriptions(self, parts: ApplicationParts, snapshot: Snapshot) -> None:
        """Close subscriptions to APIs of which an application wants nothing any more.

        Before anything that may be refused: an application in quarantine keeps no right that it
        should not have.
        """
        value: Any = parts.value
        types = [str(one["type"]) for one in value["credentials"]]
        wanted = wanted_subscriptions(parts.key, types, value["subscriptions"], snapshot.apis)
        apis = {one.api.key for one in wanted}
        ident = snapshot.application_ids.get(parts.key, "")
        for api, one in snapshot.subscriptions_of(ident):
            if api.key not in apis and one.status in LIVE:
                await self._subscriptions.close(api.api_id, one)

    async def _find(
        self, change: PendingChange, snapshot: Snapshot, info: GatewayInfo
    ) -> JsonTree | None:
        """Return the application that is there, archived ones too; raises ObjectConflict."""
        root = change.root or _known_id(change.key, snapshot, self._owner)
        if not root and info.has_subscriptions:
            root = info.options.ids.api(hrid_of(change.key))
        if root:
            held = await self._client.find_application(root)
        else:
            held = await self._find_archived(change.key)
        if held is None:
            return None
        mark = read_application_mark(held.get("description"))
        is_ours = mark is not None and mark.owner == self._owner
        if not is_ours and not change.adopts and held.get("status") != _ARCHIVED:
            whose = f"of the catalog {mark.owner}" if mark else "that no catalog of ours wrote"
            raise ObjectConflict(
                f"the name of {change.key} is taken on the gateway by an application {whose} "
                f"({held.get('name')}, {held.get('id')}): adopt it, or give one another name"
            )
        return held

    async def _find_archived(self, key: Key) -> JsonTree | None:
        """Return the archived application of a key, where ids are the server's.

        It keeps its keys: a new one of the same name could not have them.
        """
        for tree in await self._client.list_applications(_ARCHIVED):
            mark = read_application_mark(tree.get("description"))
            if mark is not None and mark.owner == self._owner and mark.key == key:
                return await self._client.find_application(str(tree["id"]))
        return None

    async def _put_automation(self, application: JsonTree) -> None:
        hrid = str(application["hrid"])
        state = await self._client.find_state("applications", hrid)
        # What people added is lost by a PUT without it.
        carried = {n: item for n, item in (state or {}).items() if n not in _OF_SERVER and item}
        what = f"writing application {hrid}"
        path = f"{self._client.automation}/applications"
        await self._client.call("PUT", path, what, {**carried, **application})

    async def _put_classic(self, application: JsonTree, held: JsonTree | None) -> str:
        app = application["settings"]["app"]
        client = {"client_id": app["clientId"]} if "clientId" in app else {}
        body: JsonTree = {
            "name": application["name"],
            "description": application["description"],
            "settings": {"app": {"type": app["type"], **client}},
        }
        path, what = f"{self._client.v1}/applications", f"writing application {body['name']}"
        if held is None:
            response = await self._client.call("POST", path, what, body, repeatable=False)
            return str(response.json(what, dict)["id"])
        for name in ("domain", "groups", "background", "api_key_mode"):
            if held.get(name):
                body[name] = held[name]
        application_id = str(held["id"])
        if held.get("status") == _ARCHIVED:
            await self._client.call("POST", f"{path}/{application_id}/_restore", what)
        await self._client.call("PUT", f"{path}/{application_id}", what, body)
        return application_id

    async def _delete(self, application_id: str, snapshot: Snapshot, info: GatewayInfo) -> None:
        """Archive an application of ours; its keys end first, whatever the version does."""
        held = await self._client.find_application(application_id) if application_id else None
        mark = read_application_mark(held.get("description")) if held else None
        if held is None or held.get("status") == _ARCHIVED or mark is None:
            return
        if mark.owner != self._owner:
            return
        for api, one in snapshot.subscriptions_of(application_id):
            if one.status in LIVE:
                await self._subscriptions.close(api.api_id, one)
        hrid, what = hrid_of(mark.key), f"deleting application {held.get('name')}"
        path = f"{self._client.v1}/applications/{application_id}"
        if info.has_subscriptions and application_id == info.options.ids.api(hrid):
            path = f"{self._client.automation}/applications/{hrid}"
        await self._client.call("DELETE", path, what, expect=DELETED)


def _known_id(key: Key, snapshot: Snapshot, owner: str) -> str:
    for tree in snapshot.applications:
        mark = read_application_mark(tree.get("description"))
        if mark is not None and mark.owner == owner and mark.key == key:
            return str(tree.get("id") or "")
    return ""
