"""Session with one node: what it is, the last snapshot, and whether that still holds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapters.kong.api.client import KongClient, Status
from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo, Options
from stoa_gitops.adapters.kong.entities.versions import OLDEST
from stoa_gitops.adapters.kong.node.edit import EditResult
from stoa_gitops.adapters.kong.node.read import read_database, read_document, targets_of
from stoa_gitops.adapters.kong.node.snapshot import NodeSnapshot
from stoa_gitops.errors import GatewayRefused, GatewayUnreachable
from stoa_gitops.model.keys import Key

LOOK_AGAIN_EVERY: Final = 10
"""Observations of an unchanged document after which its lists are read again, where nothing proves
that they are whole."""

_VERSION: Final = re.compile(r"(?:kong/)?(\d+)\.(\d+)\.(\d+)")


class NodeSession:
    """Keeps one snapshot and trusts it as long as the node's hash is the one that it was read
    under.

    An observation begins with `start_observation`, whose hash is good for the lists that follow;
    later lists ask again. So a cycle in which nothing changed costs one GET, and nothing stale is
    listed.
    """

    def __init__(self, client: KongClient, owner: str, options: Options) -> None:
        self._client = client
        self._owner = owner
        self._options = options
        self._lock = asyncio.Lock()
        self._last_status: Status | None = None
        self._collections: Mapping[str, str] = {}
        self._snapshot: NodeSnapshot | None = None
        self._hash: str | None = None
        self._is_current = self._is_to_write = False
        self._looks = 0
        self._reading: asyncio.Task[NodeSnapshot] | None = None
        self._readers = 0
        self.node: NodeInfo | None = None
        self.known_keys: Collection[Key] = ()
        """Objects of the catalog and of the store: by them what was renamed is found by its id."""
        self.written: dict[tuple[str, str], Key] = {}
        """Type and id of each entity written one by one since the last read -> whose it is."""

    def invalidate(self) -> None:
        """Read again with the next call."""
        self._is_current, self._hash = False, None

    async def start_observation(self) -> NodeInfo:
        """Request the status, and what the node is where that may have changed."""
        async with self._lock:
            self.invalidate()
            status = await self._status()
            node = await self._identify(status)
            self._hash = status.hash
            return node

    async def node_info(self) -> NodeInfo:
        """Return what the node is, asking where nobody did."""
        return self.node or await self.start_observation()

    async def list_objects(self, kind: str) -> list[ListItem]:
        """Return one kind of objects; raises GatewayError.

        Kinds listed side by side share one read.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._reread())
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
        return snapshot.items(kind)

    async def _reread(self) -> NodeSnapshot:
        async with self._lock:
            self._is_current = False
            return await self._current()

    async def read_snapshot(self) -> NodeSnapshot:
        """Return what is on the node now, whatever was known."""
        async with self._lock:
            self.invalidate()
            return await self._current()

    async def read_to_write(self) -> NodeSnapshot:
        """Return what is on the node now, and nothing that it holds is missing from it."""
        async with self._lock:
            self.invalidate()
            self._is_to_write = True
            try:
                return await self._current()
            finally:
                self._is_to_write = False

    async def current_snapshot(self) -> NodeSnapshot:
        """Return what is on the node as of this observation."""
        async with self._lock:
            return await self._current()

    @property
    def gaps(self) -> tuple[str, ...]:
        """Why no document would be written now, in words; see NodeSnapshot."""
        return self._snapshot.gaps if self._snapshot is not None else ()

    def store_snapshot(self, snapshot: NodeSnapshot) -> None:
        """Take over a document that was written and confirmed by its hash."""
        self._snapshot, self._is_current = snapshot, True

    def store_written(self, edit: EditResult) -> None:
        """Take over the groups that were written.

        Lists are read back from the database all the same.
        """
        base = self._snapshot or edit.base
        groups = dict(base.groups)
        for key, group in edit.touched.items():
            if group is None:
                groups.pop(key, None)
            else:
                groups[key] = group
        foreign = base.foreign if edit.foreign is edit.base.foreign else edit.foreign
        self._snapshot = NodeSnapshot(base.node, base.owner, groups, foreign, renamed=base.renamed)

    async def export_entities(self) -> JsonTree:
        """Return every entity of a node with a database, by type, for a backup."""
        await self.node_info()
        found: JsonTree = {}
        for name, path in sorted(self._collections.items()):
            found[name] = await self._client.list_entities(path, f"the list of {name}", absent=True)
        found["targets"] = await targets_of(self._client, found["upstreams"])
        return found

    async def _current(self) -> NodeSnapshot:
        if not self._is_current or self._snapshot is None:
            self._snapshot = await self._read()
            self.written.clear()
            self._is_current = True
        return self._snapshot

    async def _read(self) -> NodeSnapshot:
        if self._hash is None or self.node is None:
            status = await self._status()
            node, now = await self._identify(status), status.hash
        else:
            node, now = self.node, self._hash
        self._hash = None
        if node.has_database:
            return await read_database(
                self._client, node, self._owner, self._snapshot, self.known_keys
            )
        held = self._snapshot
        # The hash covers all that a document holds: the same hash is the same content.
        is_same = held is not None and held.hash == now and held.node == node
        if held is not None and is_same and self._is_enough(held):
            return held
        if not is_same:
            self._looks = 0
        snapshot = await read_document(
            self._client,
            node,
            self._owner,
            now,
            self._collections,
            self._snapshot,
            self.known_keys,
            is_to_write=self._is_to_write,
        )
        if held is not None and is_same and held.has_same_content(snapshot):
            return replace(held, gaps=snapshot.gaps, is_whole=snapshot.is_whole)
        return snapshot

    def _is_enough(self, held: NodeSnapshot) -> bool:
        """Whether a snapshot of the same document is taken for what the node holds.

        One of which nobody can tell that it is whole is read a second time at once, and again from
        time to time: a list that missed something once would miss it as long as the hash is one.
        """
        if held.is_whole:
            return True
        if self._is_to_write:
            return False
        self._looks += 1
        return self._looks % LOOK_AGAIN_EVERY != 1

    async def _status(self) -> Status:
        try:
            status = await self._client.status()
        except BaseException:
            self._last_status = None  # it may come back with another version or other plugins
            raise
        if not status.is_database_reachable:
            raise GatewayUnreachable("the node does not reach its database")
        return status

    async def _identify(self, status: Status) -> NodeInfo:
        """Return what the node is, asked at first, after it was unreachable, and after a restart.

        A restart shows by the count of requests, which begins anew; plugins may be other ones then.
        """
        node_info, self._last_status = self._last_status, status
        is_same = node_info is not None and node_info.server == status.server
        if (
            self.node is not None
            and is_same
            and node_info
            and node_info.requests <= status.requests
        ):
            return self.node
        self._last_status = None
        root = await self._client.root()
        version = _version(root.version)
        if root.is_enterprise:
            raise GatewayRefused(
                f"Kong Enterprise {root.version} is not supported: its workspaces and RBAC are not "
                "known to this "
                "adapter; use an OSS node"
            )
        self._collections = await self._client.collections()
        self.node = NodeInfo(
            version,
            root.plugins,
            root.has_database,
            self._options,
            root.router_flavor,
            settling_seconds=root.settling_seconds,
        )
        self._last_status = status
        return self.node


def _version(text: str) -> tuple[int, int, int]:
    """Parse a version; raises GatewayRefused for one that this adapter does not support."""
    found = _VERSION.match(text)
    if found is None:
        raise GatewayRefused(f"{text!r} is no version of Kong that this adapter knows")
    version = int(found[1]), int(found[2]), int(found[3])
    if version < OLDEST or version[0] > OLDEST[0]:
        raise GatewayRefused(f"Kong {text} is not supported: this adapter speaks to 3.0 to 3.9")
    return version
