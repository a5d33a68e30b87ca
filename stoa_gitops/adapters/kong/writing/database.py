"""A node with a database: the entities of one unit, put and deleted one by one in the order that Kong needs.

Children wait for their parents and routes come last, so that an API is reachable only once its plugins are there; what goes
goes the other way round (section B). Every call is by id and may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.http.responses import AnswerRefused
from stoa_gitops.adapter_sdk.results import failure, ok
from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.kong.entities.entity import ORDER, PATHS, Entity
from stoa_gitops.adapters.kong.entities.tags import mark
from stoa_gitops.adapters.kong.entities.unique_fields import claims
from stoa_gitops.adapters.kong.node.edit import EditResult, PendingChange, edited
from stoa_gitops.adapters.kong.node.session import Nodes
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup, NodeSnapshot
from stoa_gitops.adapters.kong.writing.preflight import conflicts
from stoa_gitops.errors import GatewayRefused
from stoa_gitops.model.keys import POLICY, Key

_WRITES: Final = {name: rank for rank, name in enumerate(ORDER)} | {"routes": len(ORDER)}
CONFLICT: Final = 409


class DatabaseWriter:
    """Writes one change at a time for each unit, units side by side."""

    def __init__(self, client: KongClient, nodes: Nodes) -> None:
        self._client = client
        self._nodes = nodes
        self._locks: dict[Key, asyncio.Lock] = {}

    async def write(self, wish: PendingChange) -> AdapterResult:
        """Write one change; a conflict is looked at again once. Raises GatewayError."""
        try:
            return await self._write(wish, await self._nodes.held())
        except AnswerRefused as error:
            if error.status != CONFLICT:
                raise
        return await self._write(wish, await self._nodes.fresh())

    async def _write(self, wish: PendingChange, picture: NodeSnapshot) -> AdapterResult:
        async with AsyncExitStack() as stack:
            for key in sorted(_concerned(wish, picture)):
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            picture = await self._nodes.held()
            edit = await asyncio.to_thread(edited, picture, [wish])
            if wish in edit.failures:
                return failure(edit.failures[wish])
            against = conflicts(edit)
            if against:
                return failure(GatewayRefused(next(iter(against.values()))))
            await self._check_nobody_else(edit)
            gone = _replaced(edit)
            for key, unit in sorted(edit.touched.items()):
                await self._bring(picture.units.get(key), unit, gone)
            for entity in sorted(gone, key=_written, reverse=True):
                await self._client.delete(_path(entity), _what(entity))
            self._nodes.hold(edit)
        unit = edit.units.get(wish.unit)
        root = unit.root if unit else wish.gateway_id
        is_policy = wish.key.kind == POLICY and unit is not None
        return ok(f"{root}/{wish.key.name.rpartition('.')[2]}" if is_policy else root)

    async def _check_nobody_else(self, edit: EditResult) -> None:
        """Refuse to delete what others hung something on: the database would delete theirs with ours.

        One page is enough to see that there is something, and one page is what nested lists give (R.4, 28).
        """
        own = mark(edit.base.owner)
        for entity in _gone(edit):
            for below in _BELOW.get(entity.type, ()):
                path = f"{_path(entity)}/{below}"
                page = await self._client.first_page(path, f"what hangs on {_what(entity)}")
                theirs = [item for item in page if own not in (item.get("tags") or ())]
                if theirs:
                    raise GatewayRefused(
                        f"a foreign entity of {below} ({theirs[0].get('id')}) hangs on {_what(entity)} and would be lost "
                        "with it: remove or move that one first"
                    )

    async def _bring(
        self, before: EntityGroup | None, after: EntityGroup | None, gone: list[Entity]
    ) -> None:
        """Put what differs, then delete what is gone: children first, and routes before their service.

        `gone` is what adopted objects were made of. A name or key that only one may have is given up by it right before
        ours takes it: Kong takes no two. What keeps its id (services, consumers, plugins) is never away.
        """
        old = {(e.type, e.id): e for e in before.entities} if before else {}
        new = {(e.type, e.id): e for e in after.entities} if after else {}
        for entity in sorted(new.values(), key=_written):
            if old.get((entity.type, entity.id)) == entity:
                continue
            for other in _rivals(entity, gone):
                await self._client.delete(_path(other), _what(other))
                gone.remove(other)
            await self._client.put(_path(entity), _what(entity), entity.tree)
        for at in sorted(old.keys() - new.keys(), key=lambda at: _written(old[at]), reverse=True):
            await self._client.delete(_path(old[at]), _what(old[at]))


def _replaced(edit: EditResult) -> list[Entity]:
    """Return foreign entities that ours stand in for now, under other ids."""
    if edit.foreign is edit.base.foreign:
        return []
    before, after = edit.base.foreign.entities, edit.foreign.entities
    kept = {(e.type, e.id) for unit in edit.touched.values() if unit for e in unit.entities}
    return [
        entity
        for name, held in before.items()
        for ident, entity in held.items()
        if ident not in after.get(name, {}) and (name, ident) not in kept
    ]


def _rivals(entity: Entity, gone: list[Entity]) -> list[Entity]:
    if not gone:
        return []
    wanted = set(claims(entity))
    return [other for other in gone if not wanted.isdisjoint(claims(other))]


_BELOW: Final = {
    "services": ("routes", "plugins"),
    "routes": ("plugins",),
    "consumers": ("plugins", "key-auth", "basic-auth", "jwt", "hmac-auth", "acls", "oauth2"),
    "upstreams": ("targets",),
}


def _gone(edit: EditResult) -> Iterator[Entity]:
    for key, unit in edit.touched.items():
        before = edit.base.units.get(key)
        left = {(e.type, e.id) for e in unit.entities} if unit is not None else set()
        for entity in before.entities if before is not None else ():
            if (entity.type, entity.id) not in left:
                yield entity


def _concerned(wish: PendingChange, picture: NodeSnapshot) -> set[Key]:
    users = {key for key, unit in picture.units.items() if wish.unit in unit.uses}
    return {wish.unit} | users


def _written(entity: Entity) -> tuple[int, str]:
    return _WRITES.get(entity.type, len(ORDER)), entity.id


def _path(entity: Entity) -> str:
    if entity.type == "targets":
        return f"/upstreams/{entity.tree['upstream']['id']}/targets/{entity.id}"
    return f"{PATHS[entity.type]}/{entity.id}"


def _what(entity: Entity) -> str:
    tree = entity.tree
    name = tree.get("name") or tree.get("username") or entity.id
    return f"{entity.type}/{name}"
