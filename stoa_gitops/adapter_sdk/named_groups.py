"""Gives every API of a gateway a key of its own: two objects of one key cannot be told apart. Pure.

A copy that somebody made on the gateway has our marks, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.model.keys import API, Key

_SHOWN: Final = 8
"""Characters of an id that tell two objects apart for people."""


class Group(Protocol):
    """One API with its policies, as items of lists."""

    @property
    def key(self) -> Key:
        """The key of the API."""

    @property
    def items(self) -> tuple[ListItem, ...]:
        """The API, and its policies."""


G = TypeVar("G", bound=Group)


def named_groups(
    groups: Iterable[G],
    ours: Mapping[Key, G],
    renamed: Callable[[G, Key, tuple[ListItem, ...]], G],
    id_of: Callable[[G], str],
) -> list[G]:
    """Return the groups under keys of their own, ours first and as they are.

    renamed  returns a group under another key, with other items
    id_of    returns what tells a group from every other one
    """
    taken = set(ours)
    found = list(ours.values())
    for group in groups:
        if ours.get(group.key) is group:
            continue
        is_taken = group.key in taken
        named = renamed(group, *_as_foreign(group, id_of(group))) if is_taken else group
        taken.add(named.key)
        found.append(named)
    return found


def _as_foreign(group: Group, ident: str) -> tuple[Key, tuple[ListItem, ...]]:
    name = f"{group.key.name}-{ident[:_SHOWN]}"
    items: list[ListItem] = []
    for item in group.items:
        old = Key(item["kind"], item["tenant"], item["name"])
        new = name if old.kind == API else f"{name}.{old.policy_type}"
        items.append({**item, "name": new, "managed": False})
    return group.key._replace(name=name), tuple(items)
