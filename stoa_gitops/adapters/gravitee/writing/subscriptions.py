"""Writes subscriptions of applications, and brings them to other plans.

The traps are the server's (contract gravitee.md R.1 rows 8 to 11): a restored application leaves
its subscriptions pending, a closed one may come back with all its old keys, and answers echo keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused, Response
from stoa_gitops.adapters.gravitee.api.client import DELETED, GraviteeClient
from stoa_gitops.adapters.gravitee.entities.consumers import (
    ACCEPTED,
    PAUSED,
    PENDING,
    HeldApi,
    HeldSubscription,
    WantedSubscription,
)
from stoa_gitops.adapters.gravitee.entities.ids import hrid_of, plan_hrids, subscription_hrids
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.applications import is_same_time
from stoa_gitops.adapters.gravitee.mapping.plans import KEY
from stoa_gitops.adapters.gravitee.node.session import Session
from stoa_gitops.adapters.gravitee.writing.keys import KeyWriter, explain_refusal
from stoa_gitops.errors import GatewayBusy, GatewayRefused
from stoa_gitops.model.keys import Key
from stoa_gitops.model.secret import Secret

_SHORTEST, _LONGEST = 32, 256
"""Characters of keys that the Automation API takes; `_renew` takes any (R.1 row 22)."""

_SUBSCRIBED: Final = "already a PENDING or ACCEPTED subscription"
_NOT_UPDATABLE: Final = "cannot be updated because of its status"


class Target:
    """The application that subscriptions are written for."""

    def __init__(
        self, key: Key, application_id: str, keys: Sequence[str], by_automation: bool
    ) -> None:
        self.key, self.application_id = key, application_id
        self.keys, self.by_automation = tuple(keys), by_automation


class SubscriptionWriter:
    """Writes subscriptions of one environment."""

    def __init__(self, client: GraviteeClient, session: Session) -> None:
        self._client, self._session = client, session
        self._keys = KeyWriter(client)

    async def ensure(
        self,
        wanted: WantedSubscription,
        held: HeldSubscription | None,
        target: Target,
        info: GatewayInfo,
    ) -> None:
        """Bring a subscription, `held` where there is one, to what is wanted, with its keys."""
        api_id = wanted.api.api_id
        try:
            await self._write_subscription(wanted, held, target, info)
        finally:
            # Afterwards, for another write may read meanwhile; whatever came of it.
            self._session.mark_changed(api_id)

    async def _write_subscription(
        self,
        wanted: WantedSubscription,
        held: HeldSubscription | None,
        target: Target,
        info: GatewayInfo,
    ) -> None:
        api_id = wanted.api.api_id
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

    async def transfer(
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
        self, wanted: WantedSubscription, plan: str, target: Target, info: GatewayInfo
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
        self, wanted: WantedSubscription, plan: str, hrid: str, target: Target, info: GatewayInfo
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
        self, wanted: WantedSubscription, held: HeldSubscription | None, target: Target
    ) -> str:
        path = f"{self._client.v2}/apis/{wanted.api.api_id}/subscriptions"
        what = f"writing the subscription {wanted.label}"
        ending: JsonTree = {"endingAt": wanted.ending_at} if wanted.ending_at else {}
        if held is None:
            body: JsonTree = {"applicationId": target.application_id, "planId": wanted.plan_id}
            response = await self._subscribe(path, what, body)
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

    async def _subscribe(self, path: str, what: str, body: JsonTree) -> Response:
        try:
            return await self._client.call("POST", path, what, body, repeatable=False)
        except RequestRefused as error:
            if _SUBSCRIBED not in str(error):
                raise
            raise GatewayBusy(
                f"{what}: it is there, and no list shows it: it is tried again when one does"
            ) from None

    async def close(self, api_id: str, one: HeldSubscription) -> None:
        """End a subscription and its keys: DELETE of 4.10.8 leaves those alive (R.1 row 9)."""
        self._session.mark_changed(api_id)
        path = f"{self._client.v2}/apis/{api_id}/subscriptions/{one.id}"
        verb, body = (
            ("_reject", {"reason": "not asked for"}) if one.status == PENDING else ("_close", None)
        )
        what = f"closing the subscription {one.id}"
        await self._client.call("POST", f"{path}/{verb}", what, body, expect=(200, 204, 404))


def is_right(one: WantedSubscription, held: HeldSubscription, prints: frozenset[str]) -> bool:
    """Whether nothing is to be done; one for tokens is written again, with its client id."""
    is_same = held.status == ACCEPTED and is_same_time(one.ending_at, held.ending_at)
    return one.security == KEY and is_same and held.prints == prints


def _is_named(
    held: HeldSubscription, wanted: WantedSubscription, target: Target, info: GatewayInfo
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
