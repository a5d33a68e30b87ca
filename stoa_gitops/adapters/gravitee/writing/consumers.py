"""Writes applications with their subscriptions and keys.

The traps are the server's (contract gravitee.md R.1 rows 7 to 11): a restored application leaves
its subscriptions pending, a closed one may come back with all its old keys, and answers echo keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapter_sdk.results import ok
from stoa_gitops.adapters.gravitee.api.client import DELETED, GraviteeClient
from stoa_gitops.adapters.gravitee.entities.consumers import (
    ACCEPTED,
    LIVE,
    PAUSED,
    PENDING,
    HeldApi,
    HeldSubscription,
    WantedSubscription,
)
from stoa_gitops.adapters.gravitee.entities.ids import (
    hrid_of,
    plan_hrids,
    subscription_hrids,
)
from stoa_gitops.adapters.gravitee.entities.marks import fingerprint, read_application_mark
from stoa_gitops.adapters.gravitee.entities.parts import ApplicationParts, GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.applications import (
    api_keys,
    compile_application,
    is_same_time,
    wanted_subscriptions,
)
from stoa_gitops.adapters.gravitee.mapping.plans import KEY
from stoa_gitops.adapters.gravitee.mapping.rules import refuse_unsupported, stored_spec
from stoa_gitops.adapters.gravitee.node.session import Session
from stoa_gitops.adapters.gravitee.node.snapshot import Snapshot
from stoa_gitops.adapters.gravitee.writing.gates import PathGate
from stoa_gitops.adapters.gravitee.writing.keys import KeyWriter, explain_refusal
from stoa_gitops.adapters.gravitee.writing.pending import PendingChange
from stoa_gitops.errors import GatewayRefused, ObjectConflict
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.secret import Secret

_SHORTEST, _LONGEST = 32, 256
"""Characters of keys that the Automation API takes; `_renew` takes any (R.1 row 22)."""

_OF_SERVER: Final = frozenset({"id", "environmentId", "organizationId", "status", "errors"})
"""Fields of an application that the Automation API shows and does not take."""

_ARCHIVED: Final = "ARCHIVED"
_NOT_UPDATABLE: Final = "cannot be updated because of its status"


class ConsumerWriter:
    """Writes applications of one environment, each alone."""

    def __init__(self, client: GraviteeClient, session: Session, owner: str) -> None:
        self._client, self._session, self._owner = client, session, owner
        self._gate = PathGate()
        self._keys = KeyWriter(client)

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
        target = _Target(parts.key, application_id, keys, is_computed and info.has_subscriptions)
        for one in wanted:
            held_there = by_plan.pop(one.plan_id, None)
            if held_there is not None and _is_right(one, held_there, prints):
                # Hundreds of them take longer than one write may: each write goes on from here.
                continue
            if held_there is None:
                held_there = await self._transfer(one, by_plan, wanted, there)
            await self._ensure(one, held_there, target, info)
        for api, other in there:
            if other.plan_id in by_plan and other.status in LIVE:
                await self._close(api.api_id, other)
        return ok(application_id)

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
                await self._close(api.api_id, one)
        hrid, what = hrid_of(mark.key), f"deleting application {held.get('name')}"
        path = f"{self._client.v1}/applications/{application_id}"
        if info.has_subscriptions and application_id == info.options.ids.api(hrid):
            path = f"{self._client.automation}/applications/{hrid}"
        await self._client.call("DELETE", path, what, expect=DELETED)

    # subscriptions

    async def _ensure(
        self,
        wanted: WantedSubscription,
        held: HeldSubscription | None,
        target: _Target,
        info: GatewayInfo,
    ) -> None:
        api_id = wanted.api.api_id
        self._session.mark_changed(api_id)
        is_computed = api_id == info.options.ids.api(wanted.api.hrid)
        plan = _plan_hrid(wanted, info)
        named = replace(wanted, plan_hrid=plan) if info.has_keys else wanted
        is_named = held is None or _is_named(held, named, target, info)
        sends_keys = False
        if target.by_automation and is_computed and is_named and plan:
            subscription = await self._ensure_automation(named, plan, target, info)
            sends_keys = info.has_keys and _can_send(target.keys)
        else:
            subscription = await self._ensure_classic(wanted, held, target)
        if wanted.security == KEY and not sends_keys:
            await self._keys.reconcile(api_id, subscription, target.keys, is_new=held is None)

    async def _transfer(
        self,
        wanted: WantedSubscription,
        by_plan: dict[str, HeldSubscription],
        others: Sequence[WantedSubscription],
        there: Sequence[tuple[HeldApi, HeldSubscription]],
    ) -> HeldSubscription | None:
        """Bring a subscription to another plan of its API; None where there is none to bring.

        It takes its keys along: Gravitee refuses the key of a closed subscription to another one
        of the same API.
        """
        needed = {one.plan_id for one in others}
        for api, one in there:
            _, security = api.plans.get(one.plan_id, ("", ""))
            is_free = one.plan_id in by_plan and one.plan_id not in needed
            fits = api.key == wanted.api.key and security == wanted.security
            if is_free and fits and one.status == ACCEPTED:
                del by_plan[one.plan_id]
                path = f"{self._client.v2}/apis/{api.api_id}/subscriptions/{one.id}/_transfer"
                what = f"transferring the subscription {wanted.label}"
                await self._client.call("POST", path, what, {"planId": wanted.plan_id})
                self._session.mark_changed(api.api_id)
                return replace(one, plan_id=wanted.plan_id)
        return None

    async def _ensure_automation(
        self, wanted: WantedSubscription, plan: str, target: _Target, info: GatewayInfo
    ) -> str:
        """Put a subscription until it is accepted; return its id. `plan` is the plan's hrid."""
        ids = info.options.ids
        for hrid in subscription_hrids(target.key, wanted.plan_hrid):
            subscription = ids.child(wanted.api.hrid, hrid)
            if not await self._put_subscription(wanted, plan, hrid, target, info):
                continue
            status = await self._status(wanted.api.api_id, subscription)
            if status in (PENDING, PAUSED):
                # A restored application leaves its subscriptions pending, and a PUT does not
                # accept them (R.1 row 8); with keys `_accept` would be refused.
                verb = "_accept" if status == PENDING else "_resume"
                body = {"reason": "written by stoa-gitops"} if status == PENDING else None
                path = f"{self._client.v2}/apis/{wanted.api.api_id}/subscriptions/{subscription}"
                what = f"accepting the subscription {wanted.label}"
                await self._client.call("POST", f"{path}/{verb}", what, body)
                await self._put_subscription(wanted, plan, hrid, target, info)
                status = await self._status(wanted.api.api_id, subscription)
            if status == ACCEPTED:
                return subscription
        raise GatewayRefused(
            f"the subscription {wanted.label} is refused under each of its names: delete the "
            "rejected ones on the gateway"
        )

    async def _put_subscription(
        self, wanted: WantedSubscription, plan: str, hrid: str, target: _Target, info: GatewayInfo
    ) -> bool:
        """Put a subscription; False for a name that cannot be used any more."""
        body: JsonTree = {
            "hrid": hrid,
            "applicationHrid": hrid_of(target.key),
            "planHrid": plan,
        }
        if wanted.ending_at:
            body["endingAt"] = wanted.ending_at
        if wanted.security == KEY and info.has_keys and _can_send(target.keys):
            body["apiKeys"] = [{"key": Secret(key)} for key in target.keys]
        path = f"{self._client.automation}/apis/{wanted.api.hrid}/subscriptions"
        what = f"writing the subscription {wanted.label}"
        for is_last in (False, True):
            try:
                await self._client.call("PUT", path, what, body)
                return True
            except RequestRefused as error:
                if _NOT_UPDATABLE not in str(error):
                    raise explain_refusal(error, target.keys) from None
                if is_last:
                    return False
            # Up to 4.11 a closed one is not restored; erased, it is made anew (R.1 row 9).
            await self._client.call("DELETE", f"{path}/{hrid}", what, expect=DELETED)
        return False

    async def _status(self, api_id: str, subscription: str) -> str:
        found = await self._client.find_subscription(api_id, subscription)
        return str((found or {}).get("status") or "")

    async def _ensure_classic(
        self, wanted: WantedSubscription, held: HeldSubscription | None, target: _Target
    ) -> str:
        path = f"{self._client.v2}/apis/{wanted.api.api_id}/subscriptions"
        what = f"writing the subscription {wanted.label}"
        ending: JsonTree = {"endingAt": wanted.ending_at} if wanted.ending_at else {}
        if held is None:
            body: JsonTree = {"applicationId": target.application_id, "planId": wanted.plan_id}
            response = await self._client.call("POST", path, what, body, repeatable=False)
            found: JsonTree = response.json(what, dict)
            subscription, status = str(found["id"]), str(found.get("status") or ACCEPTED)
        else:
            subscription, status = held.id, held.status
        at = f"{path}/{subscription}"
        if status in (PENDING, PAUSED):
            verb = "_accept" if status == PENDING else "_resume"
            reason = {"reason": "written by stoa-gitops"} if status == PENDING else None
            await self._client.call("POST", f"{at}/{verb}", what, reason)
        if not is_same_time(wanted.ending_at, held.ending_at if held else ""):
            await self._client.call("PUT", at, what, ending)
        return subscription

    async def _close(self, api_id: str, one: HeldSubscription) -> None:
        """End a subscription and its keys: DELETE of 4.10.8 leaves those alive (R.1 row 9)."""
        self._session.mark_changed(api_id)
        path = f"{self._client.v2}/apis/{api_id}/subscriptions/{one.id}"
        verb, body = (
            ("_reject", {"reason": "not asked for"}) if one.status == PENDING else ("_close", None)
        )
        what = f"closing the subscription {one.id}"
        await self._client.call("POST", f"{path}/{verb}", what, body, expect=(200, 204, 404))


class _Target:
    """The application that subscriptions are written for."""

    def __init__(
        self, key: Key, application_id: str, keys: Sequence[str], by_automation: bool
    ) -> None:
        self.key, self.application_id = key, application_id
        self.keys, self.by_automation = tuple(keys), by_automation


def _is_right(one: WantedSubscription, held: HeldSubscription, prints: frozenset[str]) -> bool:
    """Whether nothing is to be done; one for tokens is written again, with its client id."""
    is_same = held.status == ACCEPTED and is_same_time(one.ending_at, held.ending_at)
    return one.security == KEY and is_same and held.prints == prints


def _is_named(
    held: HeldSubscription, wanted: WantedSubscription, target: _Target, info: GatewayInfo
) -> bool:
    """Whether a subscription has one of the names that we give: others are written by their id."""
    names = subscription_hrids(target.key, wanted.plan_hrid)
    return held.id in {info.options.ids.child(wanted.api.hrid, name) for name in names}


def _plan_hrid(wanted: WantedSubscription, info: GatewayInfo) -> str:
    """Return the name of a plan that is there; empty for one that has none of ours."""
    ids = info.options.ids
    names = plan_hrids(wanted.plan_hrid)
    return next((n for n in names if ids.child(wanted.api.hrid, n) == wanted.plan_id), "")


def _can_send(keys: Sequence[str]) -> bool:
    return bool(keys) and all(_SHORTEST <= len(key) <= _LONGEST for key in keys)


def _known_id(key: Key, snapshot: Snapshot, owner: str) -> str:
    for tree in snapshot.applications:
        mark = read_application_mark(tree.get("description"))
        if mark is not None and mark.owner == owner and mark.key == key:
            return str(tree.get("id") or "")
    return ""
