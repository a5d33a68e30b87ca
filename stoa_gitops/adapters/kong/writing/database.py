"""Writes to a node with PostgreSQL.

Entities of one group, one by one, in the order that Kong needs.

Children wait for their parents and routes come late, so that an API is reachable only once the
plugins of its service are in force; deletions go the other way round. Every call is by id and may
be repeated; a group that is refused in part is put back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Final, TypeAlias

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapter_sdk.results import failure, ok
from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.kong.entities.defaults import ENTITY_DEFAULTS
from stoa_gitops.adapters.kong.entities.entity import COLLECTION_PATHS, ENTITY_ORDER, Entity
from stoa_gitops.adapters.kong.entities.tags import owner_tag
from stoa_gitops.adapters.kong.entities.unique_fields import unique_values
from stoa_gitops.adapters.kong.node.edit import EditResult, PendingChange, apply_changes
from stoa_gitops.adapters.kong.node.session import NodeSession
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup, NodeSnapshot
from stoa_gitops.adapters.kong.writing.preflight import conflicts
from stoa_gitops.adapters.kong.writing.settling import Settling, closed_routes, hidden_route
from stoa_gitops.errors import GatewayError, GatewayUnreachable, ObjectConflict
from stoa_gitops.model.keys import POLICY, Key

# Routes after plugins of the service: nobody reaches an API before those are there. Upstream and
# target before the service that names them: without a target every call is a 503.
_WRITES: Final = {name: rank for rank, name in enumerate(ENTITY_ORDER)} | {
    "upstreams": -2,
    "targets": -1,
    "routes": len(ENTITY_ORDER),
}
CONFLICT: Final = 409

PUT_BACK_SECONDS: Final = 30.0
"""Time for undoing one change, of half as many seconds as writing it may take (`WriteLimits`)."""

_Undo: TypeAlias = list[tuple[Entity, Entity | None]]
"""What was written or deleted, in that order, each with what was there before."""

log = logging.getLogger(__name__)


class DatabaseWriter:
    """Writes one change at a time for each group, groups side by side."""

    def __init__(self, client: KongClient, session: NodeSession) -> None:
        self._client = client
        self._session = session
        self._locks: dict[Key, asyncio.Lock] = {}
        self._writes: dict[Key, list[PendingChange]] = {}
        self._deletions: dict[Key, list[PendingChange]] = {}
        self._settling = Settling()

    def note_writes(self, changes: Iterable[PendingChange]) -> None:
        """Take note of what is written at a time: some only fit together with others."""
        self._writes = _by_group(changes)

    def note_deletions(self, changes: Iterable[PendingChange]) -> None:
        """Take note of the policies that go in a plan, most of them after what replaces them."""
        self._deletions = _by_group(changes)

    async def settle(self, keys: Collection[Key]) -> None:
        """Wait until the APIs of these keys are guarded on every worker, where they are new."""
        node = await self._session.node_info()
        await self._settling.before_puts(keys, node.settling_seconds)

    async def write(self, change: PendingChange) -> AdapterResult:
        """Write one change; after a 409 the node is read again, once. Raises GatewayError."""
        try:
            return await self._write(change, await self._session.current_snapshot())
        except RequestRefused as error:
            if error.status != CONFLICT:
                raise
        # 409: somebody took the name or key since the snapshot was read.
        return await self._write(change, await self._session.read_snapshot())

    async def _write(self, change: PendingChange, snapshot: NodeSnapshot) -> AdapterResult:
        async with AsyncExitStack() as stack:
            # Always in one order, so that two writers never wait for each other.
            for key in sorted(_affected_groups(change, snapshot)):
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            snapshot = await self._session.current_snapshot()
            edit = await asyncio.to_thread(self._edit, snapshot, change)
            if change in edit.failures:
                return failure(edit.failures[change])
            conflicting = conflicts(edit)
            if conflicting:
                return failure(ObjectConflict(next(iter(conflicting.values()))))
            await self._refuse_foreign_children(edit)
            undo: _Undo = []
            try:
                await self._sync(edit, undo)
            except (GatewayError, asyncio.CancelledError):
                # Cancelled where its time was up: that is no reason to leave it half written.
                await self._put_back(undo)
                raise
            self._session.store_written(edit)
        group = edit.groups.get(change.group)
        root = group.root if group else change.gateway_id
        is_policy = change.key.kind == POLICY and group is not None
        return ok(f"{root}/{change.key.name.rpartition('.')[2]}" if is_policy else root)

    def _edit(self, snapshot: NodeSnapshot, change: PendingChange) -> EditResult:
        """Return what one change makes of a node, with others of its API where it must be.

        A limit and a quota share one plugin, and of `api_key` and `jwt` one gives way to the other:
        one by one each would be refused beside what is still there. Those others find themselves
        written when it is their turn.
        """
        edit = apply_changes(snapshot, [change])
        if change not in edit.failures:
            return edit
        beside = self._writes.get(change.group, [])
        together = beside if any(one.key == change.key for one in beside) else [change]
        known = {one.key for one in together}
        together = together + [
            one
            for one in self._deletions.get(change.group, ())
            if one.key not in known and known.issuperset(one.needs)
        ]
        tried = apply_changes(snapshot, together)
        return edit if tried.failures else tried

    async def _refuse_foreign_children(self, edit: EditResult) -> None:
        """Refuse to delete what others bound entities to: Kong would delete theirs with ours.

        One page is enough to see that there is something.
        """
        own = owner_tag(edit.base.owner)
        for entity in _deleted_entities(edit):
            for below in _CHILD_LISTS.get(entity.type, ()):
                path = f"{_path(entity)}/{below}"
                page = await self._client.list_first_page(path, f"what hangs on {_label(entity)}")
                theirs = [item for item in page if own not in (item.get("tags") or ())]
                if theirs:
                    raise ObjectConflict(
                        f"a foreign entity of {below} ({theirs[0].get('id')}) hangs on "
                        f"{_label(entity)} and would be lost "
                        "with it: remove or move that one first"
                    )

    async def _sync(self, edit: EditResult, undo: _Undo) -> None:
        """Write an edit: an API's group, and those of applications whose limits follow from it."""
        gone = _replaced(edit)
        for key, group in sorted(edit.touched.items()):
            await self._sync_group(key, group, edit, gone, undo)
        for entity in sorted(gone, key=_write_rank, reverse=True):
            await self._delete(entity, undo)

    async def _sync_group(
        self,
        key: Key,
        after: EntityGroup | None,
        edit: EditResult,
        gone: list[Entity],
        undo: _Undo,
    ) -> None:
        """Put what differs, then delete what is gone.

        Children first, and routes before their service.

        `gone` is what adopted objects were made of. A unique name or key is given up by it right
        before ours takes it. What keeps its id (services, consumers, plugins) is never away.
        """
        before = edit.base.groups.get(key)
        old = {(e.type, e.id): e for e in before.entities} if before else {}
        new = {(e.type, e.id): e for e in after.entities} if after else {}
        self._session.written.update(dict.fromkeys(new, key))
        foreign = edit.base.foreign.entities
        for nameless in _in_the_way(old, new):
            undo.append((nameless, old[nameless.type, nameless.id]))
            await self._put(nameless)
        for route in _closed_routes_of(old, gone_from=new):
            # Their plugins go with them, and may be out of force first.
            undo.append((route, route))
            await self._put(hidden_route(route))
            self._settling.note_hidden(key)
        for entity in _steps(
            new, old.keys() | {("routes", ident) for ident in foreign.get("routes", {})}
        ):
            at = (entity.type, entity.id)
            if old.get(at) == entity:
                continue
            await self._settling.before_put(key, entity, edit.base.node.settling_seconds)
            for other in _conflicting_entities(entity, gone):
                await self._delete(other, undo)
                gone.remove(other)
            # Before the call: nobody knows what a gateway did that gave no answer.
            known = old.get(at) or foreign.get(entity.type, {}).get(entity.id)
            undo.append((entity, known))
            await self._put(entity)
            self._settling.note_put(key, entity, is_new=known is None)
        leaves_upstream = any(name == "upstreams" for name, _ in old.keys() - new.keys())
        for at in sorted(
            old.keys() - new.keys(), key=lambda at: _write_rank(old[at]), reverse=True
        ):
            # What somebody moved by hand from one object to another was taken back meanwhile.
            if self._session.written.get(at, key) == key:
                seconds = edit.base.node.settling_seconds
                await self._settling.before_delete(key, old[at], seconds)
                if leaves_upstream and at[0] in ("upstreams", "targets"):
                    await self._settling.before_upstream_goes(key, seconds)
                await self._delete(old[at], undo)
                self._settling.note_deleted(key, old[at])

    async def _delete(self, entity: Entity, undo: _Undo) -> None:
        undo.append((entity, entity))
        await self._client.delete(_path(entity), _label(entity))

    async def _put(self, entity: Entity) -> None:
        tree = entity.tree
        if entity.type == "targets":
            # Kong 3.9.1: PUT of a target is a PATCH, and keeps what the body leaves out.
            tree = {"weight": ENTITY_DEFAULTS["targets"]["weight"], "tags": None, **tree}
        is_there = await self._client.put(_path(entity), _label(entity), tree)
        if not is_there:
            # Kong 3.9.1 with PostgreSQL: PUT of a target that does not exist is 404.
            path = _path(entity).rpartition("/")[0]
            await self._client.post(path, _label(entity), entity.tree)

    async def _put_back(self, undo: _Undo) -> None:
        """Undo what was written of a change that the node refused in part.

        A half written API answers with errors, where its former version served. What cannot be put
        back either is found as drift by the next cycle.
        """
        try:
            async with asyncio.timeout(PUT_BACK_SECONDS):
                for entity, before in reversed(undo):
                    await self._restore(entity, before)
        except (GatewayUnreachable, TimeoutError):
            log.warning("a change could not be put back: the node is away; the next cycle does")

    async def _restore(self, entity: Entity, before: Entity | None) -> None:
        try:
            if before is None:
                await self._client.delete(_path(entity), _label(entity))
            else:
                await self._put(before)
        except GatewayUnreachable:
            raise
        except GatewayError:
            log.warning("%s could not be put back; the next cycle does", _label(entity))


def _by_group(changes: Iterable[PendingChange]) -> dict[Key, list[PendingChange]]:
    found: dict[Key, list[PendingChange]] = {}
    for change in changes:
        found.setdefault(change.group, []).append(change)
    return found


def _replaced(edit: EditResult) -> list[Entity]:
    """Return foreign entities that ours replace under other ids."""
    if edit.foreign is edit.base.foreign:
        return []
    before, after = edit.base.foreign.entities, edit.foreign.entities
    kept = {(e.type, e.id) for group in edit.touched.values() if group for e in group.entities}
    return [
        entity
        for name, held in before.items()
        for ident, entity in held.items()
        if ident not in after.get(name, {}) and (name, ident) not in kept
    ]


def _in_the_way(
    old: Mapping[tuple[str, str], Entity], new: Mapping[tuple[str, str], Entity]
) -> list[Entity]:
    """Return routes that somebody gave the name of another one of their API, without a name.

    Names are unique (409 else), and Kong takes routes that have none: so names may even be swapped.
    """
    wanted = {one.tree["name"]: at for at, one in new.items() if one.type == "routes"}
    return [
        Entity.of("routes", {name: item for name, item in new[at].tree.items() if name != "name"})
        for at, one in old.items()
        if one.type == "routes" and at in new and wanted.get(one.tree.get("name"), at) != at
    ]


def _closed_routes_of(
    entities: Mapping[tuple[str, str], Entity], *, gone_from: Collection[tuple[str, str]]
) -> list[Entity]:
    """Return the routes with a plugin of their own that closes them, unless they are there still.

    Both at once cannot come or go: a route without the plugin is open for as long as workers take.
    """
    closed = closed_routes(entities.values())
    return [
        one
        for at, one in entities.items()
        if one.type == "routes" and one.id in closed and at not in gone_from
    ]


def _steps(
    new: Mapping[tuple[str, str], Entity], known: Collection[tuple[str, str]]
) -> list[Entity]:
    """Return what is put, in order; a new route that is closed comes hidden before its plugin."""
    late = _closed_routes_of(new, gone_from=known)
    hidden = {one.id: hidden_route(one) for one in late}
    return [hidden.get(one.id, one) for one in sorted(new.values(), key=_put_rank)] + late


def _conflicting_entities(entity: Entity, gone: list[Entity]) -> list[Entity]:
    if not gone:
        return []
    wanted = set(unique_values(entity))
    return [other for other in gone if not wanted.isdisjoint(unique_values(other))]


_CHILD_LISTS: Final = {
    "services": ("routes", "plugins"),
    "routes": ("plugins",),
    "consumers": ("plugins", "key-auth", "basic-auth", "jwt", "hmac-auth", "acls", "oauth2"),
    "upstreams": ("targets",),
}


def _deleted_entities(edit: EditResult) -> Iterator[Entity]:
    for key, group in edit.touched.items():
        before = edit.base.groups.get(key)
        left = {(e.type, e.id) for e in group.entities} if group is not None else set()
        for entity in before.entities if before is not None else ():
            if (entity.type, entity.id) not in left:
                yield entity


def _affected_groups(change: PendingChange, snapshot: NodeSnapshot) -> set[Key]:
    users = {key for key, group in snapshot.groups.items() if change.group in group.uses}
    # What somebody renamed has the entities of this one, under another key.
    renamed = snapshot.renamed_from(change.group)
    return {change.group} | users | ({renamed} if renamed is not None else set())


def _write_rank(entity: Entity) -> tuple[int, str]:
    return _WRITES.get(entity.type, len(ENTITY_ORDER)), entity.id


def _put_rank(entity: Entity) -> tuple[int, str]:
    """Return the place in the order of writing: a plugin of a route needs the route (400 else).

    Deletions keep `_write_rank`: the plugin of an inactive API goes after its route, so that the
    route is never open.
    """
    if entity.type == "plugins" and entity.tree.get("route"):
        return len(ENTITY_ORDER) + 1, entity.id
    return _write_rank(entity)


def _path(entity: Entity) -> str:
    if entity.type == "targets":
        return f"/upstreams/{entity.tree['upstream']['id']}/targets/{entity.id}"
    return f"{COLLECTION_PATHS[entity.type]}/{entity.id}"


def _label(entity: Entity) -> str:
    tree = entity.tree
    name = tree.get("name") or tree.get("username") or entity.id
    return f"{entity.type}/{name}"
