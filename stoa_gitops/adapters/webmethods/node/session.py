"""Session with one gateway: what it is, and what it holds.

A read is one search for everything but definitions: what came with the same bytes is the same.
Definitions are read of APIs whose time stamp is another one, and of all each tenth observation.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapters.webmethods.api.answers import parsed
from stoa_gitops.adapters.webmethods.api.client import PAGE_SIZE, WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.held import HeldDefinition
from stoa_gitops.adapters.webmethods.entities.marks import read_mark
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree, Options
from stoa_gitops.adapters.webmethods.mapping.definitions import content_print
from stoa_gitops.adapters.webmethods.mapping.routes import operations_in, operations_print
from stoa_gitops.adapters.webmethods.mapping.template_losses import required_parameters
from stoa_gitops.adapters.webmethods.node.expectations import Expectations
from stoa_gitops.adapters.webmethods.node.gathering import gather, listed_in, snapshot_of
from stoa_gitops.adapters.webmethods.node.missing import MissingObjects
from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot
from stoa_gitops.errors import GatewayError

PARTIAL_MATCHING: Final = "watt.server.url.alias.partialMatching"
UNKNOWN_VERSION: Final = "10.15 or 11"

SINGLE_READS: Final = 10
"""APIs up to which definitions are read one by one; more of them by pages."""

SINGLE_SHARE: Final = 4
"""… and up to this part of all APIs: a page has definitions that nobody asks for."""

READERS: Final = 4
"""Definitions that are read at a time."""

SMALL_PATHS: Final = 20
"""Paths of a definition up to which its print is made without a thread: some 2 ms."""

LAG_READS: Final = 5
"""Reads until what was written is taken to be as the gateway shows it."""

_LAG_SECONDS: Final = 0.25
"""First pause: the store's index shows what was written within a second (refresh interval)."""

Sleep = Callable[[float], Awaitable[None]]


class Session:
    """Keeps one snapshot, and reads of it what changed."""

    def __init__(
        self,
        client: WebMethodsClient,
        owner: str,
        options: Options,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client, self._owner, self._options = client, owner, options
        self._sleep, self._chance = sleep, chance
        self._lock = asyncio.Lock()
        self._observations = 0
        self._is_deep = True
        self._digest = b""
        self._definitions: dict[str, HeldDefinition] = {}
        # Ids of APIs with a mark: of others nothing of a definition is compared.
        self._own: set[str] = set()
        self._snapshot: Snapshot | None = None
        self._reading: asyncio.Task[Snapshot] | None = None
        self._readers = 0
        self.missing = MissingObjects(client)
        self.written = Expectations()
        """What the next read should show."""
        self.info: GatewayInfo | None = None

    def invalidate(self) -> None:
        """Read everything with the next call."""
        self._is_deep, self._snapshot, self._digest = True, None, b""
        self._definitions.clear()

    async def start_observation(self) -> GatewayInfo:
        """Check the gateway, and ask what it is where it may be another. Raises GatewayError."""
        status = await self._client.health()
        if status not in ("green", "yellow"):
            raise GatewayError(
                f"the gateway calls itself {status or 'nothing'}: its store or its data plane is "
                "not in order"
            )
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
                    version = await self._client.version()
                    setting = await self._client.watt_setting(PARTIAL_MATCHING)
                    serves = None if setting is None else setting.strip().lower() == "true"
                    needed = required_parameters(await self._client.templates())
                    self.info = GatewayInfo(
                        version or UNKNOWN_VERSION, serves, self._options, needed
                    )
        return self.info

    # reading

    async def list_objects(self, kind: str) -> PackedList:
        """Return one kind of objects; kinds that are listed side by side share a read."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self.read_snapshot())
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
        """Return what was read last; reads again where something was written since."""
        if self._snapshot is None or self.written.is_pending:
            return await self.read_snapshot()
        return self._snapshot

    async def working_snapshot(self) -> Snapshot:
        """Return what was read last with what was written since laid over it, for writers.

        Reads again where that does not tell what the gateway holds.
        """
        if self._snapshot is None or self.written.is_unsure:
            return await self.read_snapshot()
        if not self.written.is_pending:
            return self._snapshot
        return self.written.laid_over(self._snapshot)

    async def read_snapshot(self) -> Snapshot:
        """Return what the gateway holds now."""
        info = await self.gateway_info()
        async with self._lock:
            for number in range(LAG_READS):
                version = self.written.version
                snapshot = await self._read(info)
                # What was written shows in searches a little later: the store refreshes its index.
                if self.written.are_shown(snapshot) or number == LAG_READS - 1:
                    break
                await self._sleep(_LAG_SECONDS * 2.0**number * (0.5 + self._chance()))
            if self.written.version == version:
                self.written.clear()
            else:
                # Somebody wrote while this was read, and it may not be in there.
                self.written.doubt()
            return snapshot

    async def _read(self, info: GatewayInfo) -> Snapshot:
        response = await self._client.search()
        digest = hashlib.sha256(response.body).digest()
        before = self._snapshot
        is_known = before is not None and before.info == info and not self._is_deep
        if is_known and before is not None and digest == self._digest:
            return before
        found: JsonTree = await parsed(response, "the search for all objects")
        listed = await asyncio.to_thread(listed_in, found)
        if self._is_deep:
            self.missing.forget()
        missed = await self.missing.complete(listed, before, self.written)
        gathered = await asyncio.to_thread(gather, listed)
        await self._read_definitions(gathered.records)
        snapshot = await asyncio.to_thread(
            snapshot_of, gathered, self._definitions, info, self._owner, before
        )
        # What a search misses changes without another answer to it.
        self._snapshot, self._digest = snapshot, b"" if missed else digest
        self._is_deep = False
        return snapshot

    async def _read_definitions(self, records: Mapping[str, JsonTree]) -> None:
        for gone in self._definitions.keys() - records.keys():
            del self._definitions[gone]
        self._own = {i for i, one in records.items() if read_mark(one.get("apiDescription"))}
        stale = [
            api_id
            for api_id, record in records.items()
            if self._is_deep
            or api_id not in self._definitions
            or self._definitions[api_id].sign != sign_of(record)
        ]
        if len(stale) <= max(SINGLE_READS, len(records) // SINGLE_SHARE):
            await self._read_single(stale)
            return
        start = 0
        while True:
            page = await self._client.definitions(start)
            # In a thread: a page may have megabytes.
            await asyncio.to_thread(self._keep_all, page)
            if len(page) < PAGE_SIZE:
                return
            start += len(page)

    async def _read_single(self, api_ids: Sequence[str]) -> None:
        for start in range(0, len(api_ids), READERS):
            part = api_ids[start : start + READERS]
            found = await asyncio.gather(*map(self._client.find_api, part))
            await asyncio.to_thread(self._keep_all, [one for one in found if one is not None])

    def forget_definition(self, api_id: str) -> None:
        """Read the definition of an API with the next read: it was written."""
        self._definitions.pop(api_id, None)

    async def keep_definition(self, api: Mapping[str, Any]) -> None:
        """Take over the definition of an API that the answer to its import shows as it is stored.

        One that the gateway changes afterwards gets another time stamp, and is read again.
        """
        definition = api.get("apiDefinition")
        if not isinstance(definition, Mapping) or "lastModified" not in api:
            return
        self._own.add(str(api.get("id") or ""))
        paths = definition.get("paths")
        if isinstance(paths, Mapping) and len(paths) > SMALL_PATHS:
            await asyncio.to_thread(self._keep, api)
        else:
            self._keep(api)

    def content_of(self, api_id: str) -> str:
        """Return the print of an API's definition as it was stored; empty where nobody saw it."""
        kept = self._definitions.get(api_id)
        return "" if kept is None else kept.content

    def _keep_all(self, apis: Sequence[Mapping[str, Any]]) -> None:
        for api in apis:
            self._keep(api)

    def _keep(self, api: Mapping[str, Any]) -> None:
        definition = api.get("apiDefinition")
        operations = operations_in(definition)
        if operations is None:
            # SOAP and others have none.
            operations = frozenset()
        info = definition.get("info") if isinstance(definition, Mapping) else None
        title = info.get("title") if isinstance(info, Mapping) else None
        api_id = str(api.get("id") or "")
        self._definitions[api_id] = HeldDefinition(
            sign_of(api),
            title if isinstance(title, str) else "",
            operations,
            operations_print(operations),
            content_print(definition) if api_id in self._own else "",
        )


def sign_of(record: Mapping[str, Any]) -> str:
    """Return what changes with every write of an API's record."""
    return str(record.get("lastModified"))
