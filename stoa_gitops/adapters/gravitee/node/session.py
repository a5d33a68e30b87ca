"""Session with one environment: what the gateway is, and what it holds.

A light read takes the lists and what they show as changed; each tenth observation reads plans,
subscriptions and keys of every API, for those change without a sign in the list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapters.gravitee.api.client import Features, GraviteeClient
from stoa_gitops.adapters.gravitee.entities.consumers import (
    ACCEPTED,
    HeldSubscription,
    read_subscription,
)
from stoa_gitops.adapters.gravitee.entities.marks import fingerprint, marks_in, owner_in
from stoa_gitops.adapters.gravitee.entities.parts import (
    AUTOMATION,
    CLASSIC,
    CRD,
    GatewayInfo,
    JsonTree,
    Options,
)
from stoa_gitops.adapters.gravitee.mapping.backends import PROXY
from stoa_gitops.adapters.gravitee.mapping.plans import KEY, OPEN
from stoa_gitops.adapters.gravitee.mapping.rules import PLUGINS, RESOURCES
from stoa_gitops.adapters.gravitee.node.snapshot import (
    ApiGroup,
    Snapshot,
    build_group,
    signature_of,
)
from stoa_gitops.errors import GatewayRefused

log = logging.getLogger(__name__)

READERS: Final = 4
"""APIs whose plans and subscriptions are read at a time: 8 were no faster (contract R.10)."""

_VERSIONS: Final[Mapping[str, str]] = {CRD: "4.2 to 4.7", CLASSIC: "4.0 or 4.1"}


class Session:
    """Keeps one snapshot, and reads of it what changed."""

    def __init__(self, client: GraviteeClient, owner: str, options: Options) -> None:
        self._client, self._owner, self._options = client, owner, options
        self._lock = asyncio.Lock()
        self._observations = 0
        self._is_deep = True
        self._changed: set[str] = set()
        self._snapshot: Snapshot | None = None
        self._reading: asyncio.Task[Snapshot] | None = None
        self._readers = 0
        self._has_import: bool | None = None
        self.info: GatewayInfo | None = None

    def invalidate(self) -> None:
        """Read everything with the next call."""
        self._is_deep, self._snapshot = True, None

    @property
    def is_unread(self) -> bool:
        """Whether nobody listed anything yet."""
        return self._snapshot is None

    def mark_changed(self, *api_ids: str) -> None:
        """Read these APIs in full with the next call: something of them was written."""
        self._changed.update(api_ids)

    async def start_observation(self) -> GatewayInfo:
        """Check credentials and environment, and ask what the gateway is where it may be another.

        Raises GatewayError.
        """
        await self._client.environment()
        if self._observations % self._options.deep_every == 0:
            self._is_deep = True
            self.info = None
        self._observations += 1
        return await self.gateway_info()

    async def gateway_info(self) -> GatewayInfo:
        """Return what the gateway is, asking where nobody did."""
        if self.info is None:
            async with self._lock:
                if self.info is None:
                    self.info = await self._identify()
        return self.info

    async def _identify(self) -> GatewayInfo:
        features = await self._client.features()
        way, version = await self._way(features)
        policies = await self._client.plugins("policies")
        resources = await self._client.plugins("resources")
        schemas = await self._schemas(policies, resources)
        return GatewayInfo(
            way=way,
            version=version,
            has_subscriptions=features.has_subscriptions and way == AUTOMATION,
            has_keys=features.has_keys,
            policies=policies,
            resources=resources,
            schemas=schemas,
            options=self._options,
        )

    async def _schemas(
        self, policies: frozenset[str], resources: frozenset[str]
    ) -> dict[str, JsonTree]:
        """Return the schemas of configurations that we write, of those that there are."""
        wanted = [
            *(("policies", plugin) for plugin in sorted(PLUGINS & policies)),
            *(("resources", plugin) for plugin in sorted(RESOURCES & resources)),
            ("endpoints", PROXY),
        ]
        slots = asyncio.Semaphore(READERS)

        async def read_one(kind: str, plugin: str) -> JsonTree:
            async with slots:
                return await self._client.plugin_schema(kind, plugin)

        found = await asyncio.gather(*(read_one(*one) for one in wanted))
        return {
            f"{kind}/{plugin}": schema
            for (kind, plugin), schema in zip(wanted, found, strict=True)
            if schema
        }

    async def _way(self, features: Features) -> tuple[str, str]:
        """Return how APIs are written, and the version as far as that tells it."""
        if features.has_keys:
            version = "4.12 or later"
        elif features.is_there:
            version = "4.9 to 4.11" if features.has_subscriptions else "4.8"
        else:
            # Found out by a PUT, so not asked again and again.
            if self._has_import is None:
                self._has_import = await self._client.has_import()
            version = _VERSIONS[CRD if self._has_import else CLASSIC]
        asked = self._options.way
        possible = [CLASSIC]
        if version != _VERSIONS[CLASSIC]:
            possible.insert(0, CRD)
        if features.is_there:
            possible.insert(0, AUTOMATION)
        if asked == "auto":
            return possible[0], version
        if asked not in possible:
            raise GatewayRefused(
                f"options.way is {asked}, and this gateway ({version}) has {', '.join(possible)}"
            )
        return asked, version

    # reading

    async def list_objects(self, kind: str) -> PackedList:
        """Return one kind of objects; raises GatewayError.

        Kinds listed side by side share a read.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._readers = 0
        reading = self._reading
        self._readers += 1
        try:
            snapshot = await asyncio.shield(reading)
        finally:
            self._readers -= 1
            # Nobody waits any more: the read would go on for nothing.
            if self._readers == 0 and not reading.done():
                reading.cancel()
        return snapshot.lists[kind]

    async def current_snapshot(self) -> Snapshot:
        """Return what the environment holds as of the last read, reading where there was none."""
        return self._snapshot or await self._read()

    async def read_snapshot(self) -> Snapshot:
        """Return what the environment holds now."""
        return await self._read()

    async def _read(self) -> Snapshot:
        info = await self.gateway_info()
        async with self._lock:
            before = self._snapshot
            changed, is_deep = set(self._changed), self._is_deep or before is None
            listed = await self._client.list_apis()
            applications = await self._client.list_applications()
            known = {} if before is None or before.info != info else before.groups
            kept = {
                api_id: known[api_id]
                for one in listed
                if (api_id := str(one.get("id") or "")) in known
                and not is_deep
                and api_id not in changed
                and known[api_id].signature == signature_of(one)
            }
            stale = [one for one in listed if str(one.get("id") or "") not in kept]
            read = await self._read_groups(stale, info)
            self._changed -= changed
            self._is_deep = False
            groups = {
                api_id: kept.get(api_id) or read[api_id]
                for api_id in dict.fromkeys(str(one.get("id") or "") for one in listed)
            }
            if before is not None and self._is_same(before, groups, applications, info):
                return before
            self._snapshot = Snapshot(info, self._owner, groups, applications)
            return self._snapshot

    @staticmethod
    def _is_same(
        before: Snapshot,
        groups: Mapping[str, ApiGroup],
        applications: Sequence[JsonTree],
        info: GatewayInfo,
    ) -> bool:
        # Equal groups are the identical ones nearly always, which is compared fast.
        return (
            before.info == info and before.applications == applications and before.groups == groups
        )

    async def _read_groups(
        self, listed: Sequence[JsonTree], info: GatewayInfo
    ) -> Mapping[str, ApiGroup]:
        slots = asyncio.Semaphore(READERS)

        async def read_one(api: JsonTree) -> ApiGroup:
            async with slots:
                return await self.read_group(api, info)

        tasks = [asyncio.create_task(read_one(api)) for api in listed]
        try:
            groups = await asyncio.gather(*tasks)
        finally:
            # gather leaves the others running when one raises.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return {str(api.get("id") or ""): group for api, group in zip(listed, groups, strict=True)}

    async def read_group(self, api: JsonTree, info: GatewayInfo) -> ApiGroup:
        """Read what the list does not show of an API; raises GatewayError."""
        api_id = str(api.get("id") or "")
        plans = await self._client.list_plans(api_id)
        kinds = {str(_security(plan)) for plan in plans}
        subscriptions: list[HeldSubscription] = []
        if kinds - {OPEN} and _is_of(api, self._owner):
            subscriptions = await self._read_subscriptions(api_id, plans)
        return build_group(api, plans, subscriptions, info, self._owner)

    async def _read_subscriptions(
        self, api_id: str, plans: Sequence[JsonTree]
    ) -> list[HeldSubscription]:
        keyed = {str(plan.get("id")) for plan in plans if _security(plan) == KEY}
        found = []
        for tree in await self._client.list_subscriptions(api_id):
            if not isinstance(tree.get("id"), str) or not isinstance(tree.get("plan"), dict):
                log.warning("a subscription of API %s is set aside: it has no plan", api_id)
                continue
            one = read_subscription(tree, frozenset())
            if one.plan_id in keyed and one.status == ACCEPTED:
                one = replace(one, prints=await self.read_prints(api_id, one.id))
            found.append(one)
        return found

    async def read_prints(self, api_id: str, subscription: str) -> frozenset[str]:
        """Return the fingerprints of the keys of a subscription that work."""
        keys = await self._client.list_keys(api_id, subscription)
        return frozenset(fingerprint(str(key.get("key"))) for key in keys if is_usable(key))


def is_usable(key: JsonTree) -> bool:
    """Whether a key works."""
    return not (key.get("revoked") or key.get("expired") or key.get("paused"))


def _security(plan: JsonTree) -> str:
    security = plan.get("security")
    return str(security.get("type")) if isinstance(security, dict) else ""


def _is_of(api: JsonTree, owner: str) -> bool:
    properties = api.get("properties")
    return isinstance(properties, list) and owner_in(marks_in(api)) == owner
