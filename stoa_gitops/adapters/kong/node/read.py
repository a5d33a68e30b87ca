"""Reads a node into a snapshot: paged lists, hash before and after, ours known by tag."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.unreadable import read_guarded
from stoa_gitops.adapters.kong.api.client import EMPTY_HASH, KongClient
from stoa_gitops.adapters.kong.entities.entity import COLLECTION_PATHS, Entity, JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.ownership import group_by_root
from stoa_gitops.adapters.kong.entities.tags import has_mark
from stoa_gitops.adapters.kong.entities.versions import RELIABLE_EMPTY_HASH
from stoa_gitops.adapters.kong.mapping.mappers import object_key, owner_tag, strip_defaults
from stoa_gitops.adapters.kong.node.snapshot import (
    EntityGroup,
    ForeignEntities,
    NodeSnapshot,
    group_from_entities,
    sort_entities,
)
from stoa_gitops.adapters.kong.node.whole import find_unlisted, is_proven
from stoa_gitops.errors import GatewayBusy
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key

MAX_READS: Final = 3
"""Reads of a document that is replaced meanwhile."""

MAX_CONCURRENT_LISTS: Final = 4
"""Lists that are read at a time; Kong pages through its store in the workers that serve traffic."""

OWN_TYPES: Final = (
    "upstreams", "routes", "keyauth_credentials", "jwt_secrets", "acls", "plugins",
)  # fmt: skip
"""Types of our entities below services and consumers."""

_ECHOES: Final = ("redis_",)  # flat names beside the record `redis`

Lists = dict[str, list[JsonTree]]


async def read_document(
    client: KongClient,
    node: NodeInfo,
    owner: str,
    expected_hash: str,
    collections: Mapping[str, str],
    previous: NodeSnapshot | None,
    known_keys: Collection[Key] = (),
    *,
    is_to_write: bool = False,
) -> NodeSnapshot:
    """Read everything that a node holds, because the document is replaced as a whole.

    With `is_to_write`, what the lists miss is looked for as well.

    `expected_hash` is what /status just returned. Raises GatewayBusy where the document is replaced
    again and again meanwhile. What can be read in no way is among the snapshot's `gaps`.
    """
    if expected_hash == EMPTY_HASH and node.version >= RELIABLE_EMPTY_HASH:
        return NodeSnapshot(node, owner, {}, ForeignEntities({}), expected_hash, is_whole=True)
    for _ in range(MAX_READS):
        entities = await _read_lists(client, collections)
        entities["targets"] = await targets_of(client, entities.get("upstreams", []))
        make = partial(_build_snapshot, node, owner, entities)
        snapshot = await asyncio.to_thread(make, expected_hash, previous, known_keys)
        is_whole = await asyncio.to_thread(is_proven, snapshot)
        if is_to_write and not is_whole:
            unlisted, unread = await find_unlisted(client, collections, entities)
            for name, trees in unlisted.items():
                entities[name] = [*entities.get(name, ()), *trees]
            if unlisted:
                snapshot = await asyncio.to_thread(make, expected_hash, previous, known_keys)
            snapshot, is_whole = replace(snapshot, gaps=unread), True
        after = (await client.status()).hash
        if after == expected_hash:
            return replace(snapshot, is_whole=is_whole)
        expected_hash = after
    raise GatewayBusy("the configuration of the node is replaced again and again while it is read")


async def read_database(
    client: KongClient,
    node: NodeInfo,
    owner: str,
    previous: NodeSnapshot | None,
    known_keys: Collection[Key] = (),
) -> NodeSnapshot:
    """Read ours by its tag, and of the others the services and consumers.

    What others have below those is read when one of them is new or changed: nothing is planned from
    it.
    """
    roots = {
        name: await client.list_entities(COLLECTION_PATHS[name], f"the list of {name}")
        for name in _ROOTS
    }
    known = previous if previous and previous.node == node else None
    if known is not None and _foreign_roots(roots, node, owner) == {
        name: known.foreign.entities.get(name, {}) for name in _ROOTS
    }:
        ours = await _read_children(client, node, owner_tag(owner))
        read = roots | ours
        return await asyncio.to_thread(
            _build_snapshot, node, owner, read, "", previous, known_keys, known.foreign
        )
    everything = roots | await _read_children(client, node, "")
    return await asyncio.to_thread(
        _build_snapshot, node, owner, everything, "", previous, known_keys
    )


_ROOTS: Final = ("services", "consumers")


async def _read_children(client: KongClient, node: NodeInfo, tag: str) -> Lists:
    read: Lists = {}
    for name in OWN_TYPES:
        read[name] = await client.list_entities(
            COLLECTION_PATHS[name], f"the list of {name}", tag=tag, absent=name not in _ALWAYS
        )
    read["targets"] = await targets_of(client, read["upstreams"])
    return read


def _foreign_roots(read: Lists, node: NodeInfo, owner: str) -> dict[str, dict[str, Entity]]:
    return {
        name: {
            entity.id: entity
            for entity in (
                Entity.of(name, _carried_over(name, tree))
                for tree in trees
                if not _is_ours(name, tree, node, owner)
            )
        }
        for name, trees in read.items()
    }


async def _read_lists(client: KongClient, collections: Mapping[str, str]) -> Lists:
    gate = asyncio.Semaphore(MAX_CONCURRENT_LISTS)

    async def one(name: str, path: str) -> tuple[str, list[JsonTree]]:
        async with gate:
            what = f"the list of {name}"
            # Collections of plugins that are not enabled are missing; those in _ALWAYS are not.
            return name, await client.list_entities(path, what, absent=name not in _ALWAYS)

    tasks = [asyncio.ensure_future(one(name, path)) for name, path in sorted(collections.items())]
    try:
        return dict(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_ALWAYS: Final = frozenset({"services", "routes", "plugins", "consumers", "upstreams"})


async def targets_of(client: KongClient, upstreams: Sequence[Mapping[str, Any]]) -> list[JsonTree]:
    """Read the targets of each upstream: there is no `/targets`."""
    found: list[JsonTree] = []
    for upstream in upstreams:
        what = f"the targets of upstream {upstream.get('name')}"
        # `/targets` has the latest of several targets of one address, on 3.9.1 100 at most.
        found += await client.list_entities(f"/upstreams/{upstream['id']}/targets/all", what)
    return found


def _build_snapshot(
    node: NodeInfo,
    owner: str,
    read: Lists,
    content_hash: str,
    previous: NodeSnapshot | None,
    known_keys: Collection[Key],
    others: ForeignEntities | None = None,
) -> NodeSnapshot:
    """Return the snapshot of what was read; a group equal to its previous one is that very object.

    `others` replaces the foreign entities of a read that covers only a part of them.
    """
    ours: dict[str, dict[str, Entity]] = {}
    foreign: dict[str, dict[str, Entity]] = {}
    for name, trees in read.items():
        for tree in trees:
            is_ours = _is_ours(name, tree, node, owner)
            entity = _own_entity(name, tree, node) if is_ours else None
            if entity is not None:
                ours.setdefault(name, {})[entity.id] = entity
            else:
                entity = Entity.of(name, _carried_over(name, tree))
                foreign.setdefault(name, {})[entity.id] = entity
    groups: dict[Key, EntityGroup] = {}
    renamed: dict[tuple[str, str], Key] = {}
    for root, key, members in _groups(ours, node, owner, previous, known_keys):
        if root.id != key.identifier(owner):
            renamed[root.type, root.id] = key
        known = previous.groups.get(key) if previous else None
        if (
            key in groups
        ):  # two with our mark and one name: one is looked after, the other left alone
            _add_foreign(members, foreign)
        elif known is not None and known.entities == members and previous and previous.node == node:
            groups[key] = known
        else:
            groups[key] = group_from_entities(key, members, node, owner, managed=True)
    placed = {(e.type, e.id) for group in groups.values() for e in group.entities}
    strays = [e for held in ours.values() for e in held.values() if (e.type, e.id) not in placed]
    _add_foreign(strays, foreign)
    if others is None:
        others = ForeignEntities(foreign, strays)
        if previous is not None and previous.node == node and previous.foreign.entities == foreign:
            others = previous.foreign
    else:
        others = others.with_strays(strays)
    snapshot = NodeSnapshot(node, owner, groups, others, content_hash, renamed=renamed)
    for kind in (API, POLICY, APPLICATION):
        snapshot.items(
            kind
        )  # made here, on a thread: what others have is put into words at its first use
    return snapshot


def _is_ours(name: str, tree: JsonTree, node: NodeInfo, owner: str) -> bool:
    """Whether an entity has our mark, or is a service or consumer whose id and name are ours.

    Somebody who edits tags must not take an API or application away from us: it could not be
    changed any more, nor a right that ended be taken from it.
    """
    tags = tree.get("tags")
    if isinstance(tags, list) and owner_tag(owner) in tags:
        return True
    return name in _ROOTS and read_guarded(
        f"{name} {tree.get('id')}",
        lambda: (
            not has_mark(tree)
            and tree["id"] == object_key(name, tree, node.options).identifier(owner)
        ),
        lambda _: False,
    )


def _own_entity(name: str, tree: JsonTree, node: NodeInfo) -> Entity | None:
    """Return an entity with our mark; None where it is nothing that we could have written."""
    return read_guarded(
        f"{name} {tree.get('id')}",
        lambda: Entity.of(name, strip_defaults(name, tree, node)),
        lambda _: None,
    )


def _groups(
    ours: Mapping[str, Mapping[str, Entity]],
    node: NodeInfo,
    owner: str,
    previous: NodeSnapshot | None,
    known_keys: Collection[Key],
) -> Iterator[tuple[Entity, Key, tuple[Entity, ...]]]:
    """Yield each service and consumer of ours with its key and with all that belongs to it."""
    families = group_by_root(ours)
    keys_by_id: dict[str, Key] | None = None
    for root_type in ("services", "consumers"):
        for ident in sorted(ours.get(root_type, {})):
            root = ours[root_type][ident]
            family = families.get((root_type, ident), ())
            key = object_key(root_type, root.tree, node.options)
            if ident != key.identifier(owner):
                if keys_by_id is None:  # needed where something was renamed or adopted
                    keys_by_id = {
                        one.identifier(owner): one for one in known_keys if one.kind != POLICY
                    }
                key = keys_by_id.get(root.id) or _key_by_id(root, family, owner, previous) or key
            yield root, key, sort_entities([root, *family])


def _key_by_id(
    root: Entity, family: Sequence[Entity], owner: str, previous: NodeSnapshot | None
) -> Key | None:
    """Return the key that the id of a service or consumer with another name was derived from.

    A name is changed with one click. Taken for another object, the service would be deleted under
    its new name, with all that calls it. What is below a service has its name, too.
    """
    kind = API if root.type == "services" else APPLICATION
    if previous is not None and (known := previous.find_group(root.id, kind)) is not None:
        return known.key
    texts = [str(entity.tree.get("name")) for entity in family] if kind == API else []
    texts.append(str(root.tree.get("host")))
    for text in texts:
        tenant, _, name = text.rpartition(".")[0].partition(".")
        key = Key(kind, tenant, name)
        if key.identifier(owner) == root.id:
            return key
    return None


def _add_foreign(entities: Sequence[Entity], foreign: dict[str, dict[str, Entity]]) -> None:
    for entity in entities:
        foreign.setdefault(entity.type, {})[entity.id] = entity


def _carried_over(entity_type: str, tree: Mapping[str, Any]) -> JsonTree:
    """Return a foreign entity as it goes into a document.

    As read, without what Kong adds by itself.

    Nulls stay, because a null may stand where the default is another value. The flat redis fields
    that Kong 3.6 to 3.9 echo must not come back beside the nested ones: 400, or 500 where they
    differ.
    """
    kept = {name: item for name, item in tree.items() if name not in ("updated_at", "ws_id")}
    if entity_type == "certificates":
        # The list shows the names of `snis` in their certificate, too; posted back beside those
        # entities Kong 3.4.2 and 3.9.1 answer 500 to the whole document.
        kept.pop("snis", None)
    config = kept.get("config")
    if isinstance(config, dict) and isinstance(config.get("redis"), dict):
        kept["config"] = {
            name: item for name, item in config.items() if not name.startswith(_ECHOES)
        }
    return kept
