"""Reads what the list of APIs does not show of each of them: plans, subscriptions and keys."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stoa_gitops.adapters.gravitee.api.client import GraviteeClient
from stoa_gitops.adapters.gravitee.entities.consumers import (
    ACCEPTED,
    HeldSubscription,
    read_subscription,
)
from stoa_gitops.adapters.gravitee.entities.marks import fingerprint, marks_in, owner_in
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.plans import KEY, OPEN
from stoa_gitops.adapters.gravitee.node.foreign_access import foreign_access
from stoa_gitops.adapters.gravitee.node.missing import MissingObjects
from stoa_gitops.adapters.gravitee.node.snapshot import ApiGroup, build_group
from stoa_gitops.adapters.gravitee.node.unfinished import UnfinishedRead

log = logging.getLogger(__name__)

READERS: Final = 4
"""APIs whose plans and subscriptions are read at a time: 8 were no faster (contract R.10)."""


FOREIGN_CALLS: Final = 2000
"""Calls of one read for subscriptions and keys of foreign APIs; beyond, they are told as unread."""


def _always() -> bool:
    return True


class _OutOfTime(Exception):
    """What may wait was not read in its time."""


class GroupReader:
    """Reads APIs; keeps in `unfinished` what a read that is cut off can go on from.

    changed        APIs that were written since they were read
    reads_foreign  read who may call foreign APIs, too
    before         APIs as they were read the last time
    """

    def __init__(
        self,
        client: GraviteeClient,
        owner: str,
        unfinished: UnfinishedRead,
        missing: MissingObjects,
    ) -> None:
        self._client, self._owner, self._unfinished = client, owner, unfinished
        self._missing = missing
        self.before: Mapping[str, ApiGroup] = {}
        self.changed: set[str] = set()
        self.reads_foreign = False
        self._foreign_calls = 0

    async def read_groups(
        self, listed: Sequence[JsonTree], info: GatewayInfo, seconds: float = math.inf
    ) -> Mapping[str, ApiGroup]:
        """Return the APIs that could be read within `seconds`, by id; raises GatewayError."""
        self._foreign_calls = 0
        slots = asyncio.Semaphore(READERS)
        until = self._unfinished.clock() + seconds

        async def read_one(api: JsonTree) -> ApiGroup | None:
            async with slots:
                try:
                    self._check_time(until)
                    return await self._read_group(api, info, until)
                except _OutOfTime:
                    return None

        tasks = [asyncio.create_task(read_one(api)) for api in listed]
        try:
            groups = await asyncio.gather(*tasks)
        finally:
            # gather leaves the others running when one raises.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return {
            str(api.get("id") or ""): group
            for api, group in zip(listed, groups, strict=True)
            if group is not None
        }

    async def _read_group(self, api: JsonTree, info: GatewayInfo, until: float) -> ApiGroup:
        api_id = str(api.get("id") or "")
        was_changed = api_id in self.changed
        self.changed.discard(api_id)
        is_read = False
        try:
            held = self.before[api_id].held if api_id in self.before else None
            plans = await self._missing.complete_plans(
                api_id, await self._client.list_plans(api_id), held.plans if held else ()
            )
            kinds = {str(_security(plan)) for plan in plans}
            subscriptions: list[HeldSubscription] = []
            unread = ""
            if kinds - {OPEN} and _is_of(api, self._owner):
                subscriptions = await self._read_subscriptions(api_id, plans, until)
            elif kinds - {OPEN} and self.reads_foreign:
                subscriptions, unread = await self._read_foreign(api_id, plans)
            is_read = True
        finally:
            if was_changed and not is_read:
                self.changed.add(api_id)
        group = build_group(api, plans, subscriptions, info, self._owner)
        if self.reads_foreign and not _is_of(api, self._owner):
            access = foreign_access(group.key, api_id, plans, subscriptions, unread)
            group = replace(group, foreign=access)
        # What was written while it was read is read again.
        if api_id not in self.changed:
            self._unfinished.keep(group, api_id)
        return group

    async def _read_foreign(
        self, api_id: str, plans: Sequence[JsonTree]
    ) -> tuple[list[HeldSubscription], str]:
        """Return the subscriptions to a foreign API, and what of them was not read."""
        limit = f"all foreign ones would take more than {FOREIGN_CALLS} calls"
        if not self._may_read_foreign():
            return [], limit
        found = await self._read_subscriptions(
            api_id, plans, math.inf, may_read_keys=self._may_read_foreign
        )
        return found, f"keys, for {limit}" if self._foreign_calls > FOREIGN_CALLS else ""

    def _may_read_foreign(self) -> bool:
        self._foreign_calls += 1
        return self._foreign_calls <= FOREIGN_CALLS

    async def _read_subscriptions(
        self,
        api_id: str,
        plans: Sequence[JsonTree],
        until: float,
        may_read_keys: Callable[[], bool] = _always,
    ) -> list[HeldSubscription]:
        keyed = {str(plan.get("id")) for plan in plans if _security(plan) == KEY}
        found = []
        held = self.before[api_id].held if api_id in self.before else None
        listed = await self._missing.complete_subscriptions(
            api_id,
            await self._client.list_subscriptions(api_id),
            [one.id for one in held.subscriptions] if held else (),
        )
        for tree in listed:
            if not isinstance(tree.get("id"), str) or not isinstance(tree.get("plan"), dict):
                log.warning("a subscription of API %s is set aside: it has no plan", api_id)
                continue
            one = read_subscription(tree, frozenset())
            if one.plan_id in keyed and one.status == ACCEPTED and may_read_keys():
                one = replace(one, prints=await self._read_prints(api_id, tree, until))
            found.append(one)
        return found

    async def _read_prints(self, api_id: str, tree: JsonTree, until: float) -> frozenset[str]:
        """Return the fingerprints of the keys of a subscription that work."""
        found = self._unfinished.find_prints(api_id, tree)
        if found is None:
            self._check_time(until)
            keys = await self._client.list_keys(api_id, str(tree["id"]))
            found = frozenset(fingerprint(str(key.get("key"))) for key in keys if is_usable(key))
            # An API may have thousands of subscriptions, each with a call of its own.
            self._unfinished.keep_prints(api_id, tree, found)
        return found

    def _check_time(self, until: float) -> None:
        if self._unfinished.clock() > until:
            raise _OutOfTime


def is_usable(key: JsonTree) -> bool:
    """Whether a key works."""
    return not (key.get("revoked") or key.get("expired") or key.get("paused"))


def _security(plan: JsonTree) -> str:
    security = plan.get("security")
    return str(security.get("type")) if isinstance(security, dict) else ""


def _is_of(api: JsonTree, owner: str) -> bool:
    properties = api.get("properties")
    return isinstance(properties, list) and owner_in(marks_in(api)) == owner
