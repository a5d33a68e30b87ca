"""Looks for objects that a search does not list though they are there.

A search answers from an index beside the store, which may miss an object, once or for good. Nothing
in its answer tells: no count beside it is another one's. So what should be there, because this
catalog applied it, it was seen before, or another object names it, is asked for by its id.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, Final, TypeAlias

from stoa_gitops.adapters.webmethods.api.client import FIELDS, WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.applications import linked_apis
from stoa_gitops.adapters.webmethods.node.expectations import Expectations
from stoa_gitops.adapters.webmethods.node.gathering import Listed, enforced, policy_id_of
from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot
from stoa_gitops.errors import GatewayBusy
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import AppliedRecord

log = logging.getLogger(__name__)

MOST: Final = 40
"""Objects of a kind that are asked for by their ids: a person may have deleted thousands."""

_AT_A_TIME: Final = 4

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""GUIDs, and the names that objects of the product itself have for ids."""

Find: TypeAlias = "Callable[[str], Awaitable[JsonTree | None]]"


class MissingObjects:
    """Completes what searches list; remembers which ids are gone, so that each is asked for once.

    records  what this catalog applied, by key; set before an observation
    """

    def __init__(self, client: WebMethodsClient) -> None:
        self._client = client
        self._gone: set[str] = set()
        self._told: frozenset[str] = frozenset()
        self.records: Mapping[Key, AppliedRecord] = {}

    def known_id(self, key: Key) -> str:
        """Return the id under which an object was applied; empty for none."""
        record = self.records.get(key)
        return record.gateway_id if record is not None and _ID.fullmatch(record.gateway_id) else ""

    def forget(self) -> None:
        """Ask again for what was gone."""
        self._gone.clear()

    async def complete(
        self, listed: Listed, before: Snapshot | None, written: Expectations
    ) -> frozenset[str]:
        """Add to the lists what they miss, and return its ids.

        Raises GatewayError: GatewayBusy where too much is missing to ask for all of it.
        """
        found: set[str] = set()
        client, deleted = self._client, written.deleted
        # In this order: each of them names the next.
        for kind, wanted, find in (
            ("application", self._applications(before), client.find_application),
            ("api", self._apis(listed, before), client.find_api),
            ("policy", _policies(listed), client.find_policy),
            ("alias", _aliases(before), client.find_alias),
        ):
            missing = self._not_listed(listed, kind, wanted, deleted)
            found |= await self._add(listed, kind, missing, find)
        missing = self._not_listed(listed, "policy_action", _actions(listed), deleted)
        found |= await self._add_actions(listed, missing)
        self._tell(frozenset(found))
        return frozenset(found)

    # what should be there

    def _apis(self, listed: Listed, before: Snapshot | None) -> Iterator[str]:
        yield from (one.gateway_id for key, one in self.records.items() if key.kind == API)
        for group in before.groups.values() if before is not None else ():
            yield group.held.api_id
        for tree in listed["application"]:
            yield from sorted(linked_apis(tree))
        for tree in listed["url_alias"]:
            yield str(tree.get("apiId") or "")

    def _applications(self, before: Snapshot | None) -> Iterator[str]:
        yield from (one.gateway_id for key, one in self.records.items() if key.kind == APPLICATION)
        for tree in before.applications if before is not None else ():
            yield str(tree.get("id") or "")

    def _not_listed(
        self, listed: Listed, kind: str, wanted: Iterable[str], deleted: Collection[str]
    ) -> list[str]:
        """Return the ids that a list does not have, what was applied first."""
        known = {str(tree.get("id")) for tree in listed[kind]} | self._gone | {*deleted}
        # Others may have written anything into what names an object: it is sent as part of a path.
        return [i for i in dict.fromkeys(wanted) if i not in known and _ID.fullmatch(i)]

    # asking for it

    async def _add(self, listed: Listed, kind: str, missing: Sequence[str], find: Find) -> set[str]:
        """Ask for objects one by one, and add those that are there."""
        asked = missing[:MOST]
        added: set[str] = set()
        for start in range(0, len(asked), _AT_A_TIME):
            part = asked[start : start + _AT_A_TIME]
            for ident, tree in zip(part, await asyncio.gather(*map(find, part)), strict=True):
                if tree is None:
                    self._gone.add(ident)
                else:
                    listed[kind].append(_as_listed(tree, ident))
                    added.add(ident)
        self._refuse_more(kind, missing, asked, added)
        return added

    async def _add_actions(self, listed: Listed, missing: Sequence[str]) -> set[str]:
        """Ask for policy actions, all of them with one call."""
        asked = missing[:MOST]
        if not asked:
            return set()
        trees = {str(one.get("id")): one for one in await self._client.policy_actions(asked)}
        added = trees.keys() & {*asked}
        listed["policy_action"] += [_as_listed(trees[ident], ident) for ident in sorted(added)]
        self._gone |= {*asked} - added
        self._refuse_more("policy_action", missing, asked, added)
        return {*added}

    def _refuse_more(
        self, kind: str, missing: Sequence[str], asked: Iterable[str], added: Iterable[str]
    ) -> None:
        """Raise GatewayBusy where more is missing than was asked for, and some of it is there."""
        left, there = {*missing} - {*asked}, sorted(added)
        if left and there:
            raise GatewayBusy(
                f"the search misses objects ({kind} {there[0]} and {len(missing) - 1} others at "
                "most) that the gateway has: its index is not whole"
            )
        # Those that were asked for are gone, every one: the others went the same way.
        self._gone |= left

    def _tell(self, found: frozenset[str]) -> None:
        if found and found != self._told:
            log.warning(
                "the search of the gateway misses %d objects that it has (%s): they were read by "
                "their ids",
                len(found),
                ", ".join(sorted(found)[:3]),
            )
        self._told = found


def _policies(listed: Listed) -> Iterator[str]:
    yield from (policy_id_of(record) for record in listed["api"])


def _actions(listed: Listed) -> Iterator[str]:
    for policy in listed["policy"]:
        yield from (action_id for _, action_id in enforced(policy))


def _aliases(before: Snapshot | None) -> Iterator[str]:
    for alias in before.aliases.values() if before is not None else ():
        yield str(alias.get("id") or "")


def _as_listed(tree: Mapping[str, Any], ident: str) -> JsonTree:
    """Return an object as a search lists it."""
    return {**{name: tree[name] for name in FIELDS if name in tree}, "id": ident}
