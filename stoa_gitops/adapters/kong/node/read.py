"""From a node to a Picture: lists by pages, the hash before and after, ours told from foreign by their mark."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.kong.api.client import ZEROS, KongClient
from stoa_gitops.adapters.kong.entities.entity import PATHS, Entity, Node
from stoa_gitops.adapters.kong.entities.ownership import families_of
from stoa_gitops.adapters.kong.mapping.mappers import key_of, mark, sparse
from stoa_gitops.adapters.kong.node.snapshot import (
    EntityGroup,
    ForeignEntities,
    NodeSnapshot,
    arranged,
    unit_from,
)
from stoa_gitops.errors import GatewayBusy, GatewayRefused
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key

TRIES: Final = 3
"""Looks at a node whose document is replaced while it is read."""

SIDE_BY_SIDE: Final = 4
OWN_TYPES: Final = (
    "upstreams", "routes", "keyauth_credentials", "jwt_secrets", "acls", "plugins",
)  # fmt: skip
"""What of ours hangs on services and consumers."""

_ECHOES: Final = ("redis_",)

Read = dict[str, list[dict[str, Any]]]


async def read_document(
    client: KongClient,
    node: Node,
    owner: str,
    known_hash: str,
    collections: Mapping[str, str],
    before: NodeSnapshot | None,
) -> NodeSnapshot:
    """Read everything that a node holds, for it is replaced as a whole.

    `known_hash` is what /status just said. Raises GatewayBusy where the document is replaced again and again
    meanwhile, GatewayRefused where the node holds what could not be carried over.
    """
    if known_hash == ZEROS and node.version >= (3, 2, 0):
        return NodeSnapshot(node, owner, {}, ForeignEntities({}), known_hash)
    for _ in range(TRIES):
        entities = await _lists(client, collections)
        entities["targets"] = await targets_of(client, node, entities.get("upstreams", []))
        after = (await client.status()).hash
        if after == known_hash:
            return await asyncio.to_thread(_picture, node, owner, entities, known_hash, before)
        known_hash = after
    raise GatewayBusy("the configuration of the node is replaced again and again while it is read")


async def read_database(
    client: KongClient, node: Node, owner: str, before: NodeSnapshot | None
) -> NodeSnapshot:
    """Read what is ours by its tag, and what others have by the names of their services and consumers.

    What hangs on those is read when one of them is new or another one: nobody plans anything from it.
    """
    roots = {name: await client.listed(PATHS[name], f"the list of {name}") for name in _ROOTS}
    known = before if before and before.node == node else None
    if known is not None and _foreign_of(roots, owner) == {
        name: known.foreign.entities.get(name, {}) for name in _ROOTS
    }:
        ours = await _below(client, node, mark(owner))
        read = roots | ours
        return await asyncio.to_thread(_picture, node, owner, read, "", before, known.foreign)
    everything = roots | await _below(client, node, "")
    return await asyncio.to_thread(_picture, node, owner, everything, "", before, None)


_ROOTS: Final = ("services", "consumers")


async def _below(client: KongClient, node: Node, tag: str) -> Read:
    read: Read = {}
    for name in OWN_TYPES:
        read[name] = await client.listed(PATHS[name], f"the list of {name}", tag=tag)
    read["targets"] = await targets_of(client, node, read["upstreams"])
    return read


def _foreign_of(read: Read, owner: str) -> dict[str, dict[str, Entity]]:
    own_mark = mark(owner)
    return {
        name: {
            str(tree["id"]): Entity.of(name, _as_read(tree))
            for tree in trees
            if own_mark not in (tree.get("tags") or ())
        }
        for name, trees in read.items()
    }


async def _lists(client: KongClient, collections: Mapping[str, str]) -> Read:
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(name: str, path: str) -> tuple[str, list[dict[str, Any]]]:
        async with gate:
            what = f"the list of {name}"
            return name, await client.listed(path, what, absent=name not in _ALWAYS)

    tasks = [asyncio.ensure_future(one(name, path)) for name, path in sorted(collections.items())]
    try:
        return dict(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_ALWAYS: Final = frozenset({"services", "routes", "plugins", "consumers", "upstreams"})


async def targets_of(
    client: KongClient, node: Node, upstreams: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Read the targets of each upstream: they have no list of their own.

    3.9 shows one page of a nested list and then nothing, silently (R.4, 28), so a full page is not believed.
    """
    found: list[dict[str, Any]] = []
    for upstream in upstreams:
        what = f"the targets of upstream {upstream.get('name')}"
        targets = await client.listed(f"/upstreams/{upstream['id']}/targets", what)
        if len(targets) >= 1000 and not node.has_database and node.version >= (3, 5, 0):
            raise GatewayRefused(
                f"{what}: Kong {node.text} shows only the first 1,000 of them, so they could not be carried over: "
                "split the upstream"
            )
        found += targets
    return found


def _picture(
    node: Node,
    owner: str,
    read: Read,
    document_hash: str,
    before: NodeSnapshot | None,
    others: ForeignEntities | None = None,
) -> NodeSnapshot:
    """Tell ours from foreign and put ours together to units; what is as before is the very object of before.

    `others` stands in for what is foreign in a reading that shows only a part of that.
    """
    ours: dict[str, dict[str, Entity]] = {}
    foreign: dict[str, dict[str, Entity]] = {}
    own_mark = mark(owner)
    for name, trees in read.items():
        for tree in trees:
            if own_mark in (tree.get("tags") or ()):
                entity = Entity.of(name, sparse(name, tree, node))
                ours.setdefault(name, {})[entity.id] = entity
            else:
                entity = Entity.of(name, _as_read(tree))
                foreign.setdefault(name, {})[entity.id] = entity
    units: dict[Key, EntityGroup] = {}
    for key, members in _units(ours, node):
        known = before.units.get(key) if before else None
        if (
            key in units
        ):  # two with our mark and one name: one is looked after, the other left alone
            _hand_over(members, foreign)
        elif known is not None and known.entities == members and before and before.node == node:
            units[key] = known
        else:
            units[key] = unit_from(key, members, node, owner, managed=True)
    placed = {(e.type, e.id) for unit in units.values() for e in unit.entities}
    strays = [e for held in ours.values() for e in held.values() if (e.type, e.id) not in placed]
    _hand_over(strays, foreign)
    if others is None:
        others = ForeignEntities(foreign)
        if before is not None and before.node == node and before.foreign.entities == foreign:
            others = before.foreign
    picture = NodeSnapshot(node, owner, units, others, document_hash)
    for kind in (API, POLICY, APPLICATION):
        picture.items(
            kind
        )  # made here, on a thread: what others have is put into words at its first use
    return picture


def _units(
    ours: Mapping[str, Mapping[str, Entity]], node: Node
) -> Iterator[tuple[Key, tuple[Entity, ...]]]:
    families = families_of(ours)
    for root_type in ("services", "consumers"):
        for ident in sorted(ours.get(root_type, {})):
            root = ours[root_type][ident]
            key = key_of(root_type, root.tree, node.options)
            yield key, arranged([root, *families.get((root_type, ident), ())])


def _hand_over(entities: Sequence[Entity], foreign: dict[str, dict[str, Entity]]) -> None:
    for entity in entities:
        foreign.setdefault(entity.type, {})[entity.id] = entity


def _as_read(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a foreign entity as it goes into a document: all that was read, but for what Kong adds by itself.

    Nulls stay, because a null may stand where the default is something else. The flat redis fields that 3.6 to 3.9
    echo are refused or worse when they come back beside the nested ones (R.4, 27).
    """
    kept = {name: item for name, item in tree.items() if name not in ("updated_at", "ws_id")}
    config = kept.get("config")
    if isinstance(config, dict) and isinstance(config.get("redis"), dict):
        kept["config"] = {
            name: item for name, item in config.items() if not name.startswith(_ECHOES)
        }
    return kept
