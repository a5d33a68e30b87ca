"""Session with one environment: what the gateway is, and what it holds.

A light read takes the lists and what they show as changed; each tenth observation begins to read
plans, subscriptions and keys of every API, for those change without a sign in the list. What takes
longer than one observation may is gone on with by the next ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapters.gravitee.api.client import Features, GraviteeClient
from stoa_gitops.adapters.gravitee.entities.parts import (
    AUTOMATION,
    CLASSIC,
    CRD,
    GatewayInfo,
    JsonTree,
    Options,
)
from stoa_gitops.adapters.gravitee.mapping.backends import PROXY
from stoa_gitops.adapters.gravitee.mapping.rules import PLUGINS, RESOURCES
from stoa_gitops.adapters.gravitee.node.group_reader import READERS, GroupReader
from stoa_gitops.adapters.gravitee.node.missing import MissingObjects
from stoa_gitops.adapters.gravitee.node.snapshot import ApiGroup, Snapshot, signature_of
from stoa_gitops.adapters.gravitee.node.unfinished import UnfinishedRead
from stoa_gitops.errors import GatewayRefused

DEEP_SECONDS: Final = 45.0
"""Seconds of one observation for what is read again though nothing shows that it changed.

The rest waits for the next observation. An observation has 120 s, of which one call may take 90.
"""

_VERSIONS: Final[Mapping[str, str]] = {CRD: "4.2 to 4.7", CLASSIC: "4.0 or 4.1"}


class Session:
    """Keeps one snapshot, and reads of it what changed."""

    def __init__(
        self,
        client: GraviteeClient,
        owner: str,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._owner, self._options = client, owner, options
        self._unfinished = UnfinishedRead(clock)
        self.missing = MissingObjects(client)
        self._reader = GroupReader(client, owner, self._unfinished, self.missing)
        self._lock = asyncio.Lock()
        self._observations = 0
        self._is_deep = self._observes = True
        self._snapshot: Snapshot | None = None
        self._reading: asyncio.Task[Snapshot] | None = None
        self._readers = 0
        self._has_import: bool | None = None
        # Of an identification that was cut off: the next one asks for the others.
        self._read_schemas: dict[tuple[str, str], JsonTree] = {}
        self.info: GatewayInfo | None = None

    def invalidate(self) -> None:
        """Read everything with the next call."""
        self._is_deep, self._snapshot = True, None
        self._unfinished.clear()
        self._read_schemas.clear()

    @property
    def is_unread(self) -> bool:
        """Whether nobody listed anything yet."""
        return self._snapshot is None

    def read_foreign_access(self) -> None:
        """Read with the next call, and from now on, who may call foreign APIs."""
        if not self._reader.reads_foreign:
            self._reader.reads_foreign = True
            self.invalidate()

    def mark_changed(self, *api_ids: str) -> None:
        """Read these APIs in full with the next call: something of them was written."""
        self._reader.changed.update(api_ids)
        for api_id in api_ids:
            self._unfinished.forget(api_id)

    async def start_observation(self) -> GatewayInfo:
        """Check credentials and environment, and ask what the gateway is where it may be another.

        Raises GatewayError.
        """
        await self._client.environment()
        if self._observations % self._options.deep_every == 0:
            self._is_deep = True
            self.info = None
        self._observations += 1
        self._observes = True
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
        self._read_schemas.clear()
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
        slots, read = asyncio.Semaphore(READERS), self._read_schemas

        async def read_one(kind: str, plugin: str) -> None:
            async with slots:
                read[kind, plugin] = await self._client.plugin_schema(kind, plugin)

        await asyncio.gather(*(read_one(*one) for one in wanted if one not in read))
        return {
            f"{kind}/{plugin}": read[kind, plugin] for kind, plugin in wanted if read[kind, plugin]
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
        if self._reading is None or self._reading.done() or self._reading.cancelling():
            # Reading back what was written waits for nothing else.
            observes, self._observes = self._observes, False
            self._reading = asyncio.create_task(self._read(observes=observes))
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

    async def _read(self, *, observes: bool = False) -> Snapshot:
        """Read what changed, and where `observes` says so what is due of a deep read.

        What is cut off is gone on with by the next read.
        """
        info = await self.gateway_info()
        async with self._lock:
            before, unfinished = self._snapshot, self._unfinished
            unfinished.begin(info)
            listed = await self._client.list_apis()
            listed = await self.missing.complete_apis(listed, before)
            applications = await self._client.list_applications()
            applications = await self.missing.complete_applications(applications, before)
            known = {} if before is None or before.info != info else before.groups
            groups: dict[str, ApiGroup | None] = {}
            missing, due = [], []
            for one in listed:
                api_id, signature = str(one.get("id") or ""), signature_of(one)
                group = unfinished.find(api_id, signature)
                if group is None and api_id in known and known[api_id].signature == signature:
                    group = known[api_id]
                    due.append(one)
                if group is None or api_id in self._reader.changed:
                    missing.append(one)
                groups[api_id] = group
            self._reader.before = before.groups if before is not None else {}
            read = dict(await self._reader.read_groups(missing, info))
            due = [one for one in due if str(one.get("id") or "") not in read]
            if self._is_deep and observes:
                read |= await self._reader.read_groups(due, info, DEEP_SECONDS)
            if not self._is_deep or all(str(one.get("id") or "") in read for one in due):
                self._is_deep = False
                unfinished.clear()
            whole = {
                api_id: found
                for api_id, group in groups.items()
                if (found := read.get(api_id, group)) is not None
            }
            if before is not None and self._is_same(before, whole, applications, info):
                return before
            self._snapshot = Snapshot(info, self._owner, whole, applications)
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
