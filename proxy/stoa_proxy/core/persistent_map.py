"""An immutable mapping of which a changed copy shares nearly everything.

With 10,000 items a write takes 2 µs instead of 22 for a copied dict, a read 0.09 instead of 0.04.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar, overload

V = TypeVar("V")
D = TypeVar("D")
# More parts make writes cheaper and an empty mapping larger; 64 have about 150 of 10,000 items.
_PARTS = 64
_NO_PARTS: tuple[Mapping[str, Any], ...] = ({},) * _PARTS


class PersistentMap(Mapping[str, V]):
    """An immutable mapping by text; a changed copy shares all but one part in 64 with it.

    The order of its keys means nothing: it depends on the hash seed of the process.
    """

    __slots__ = ("_count", "_parts")

    def __init__(self, parts: tuple[Mapping[str, V], ...] = _NO_PARTS) -> None:
        self._parts = parts
        self._count = sum(map(len, parts))

    @classmethod
    def from_items(cls, items: Mapping[str, V]) -> PersistentMap[V]:
        """Return a mapping of many items at once."""
        parts: list[dict[str, V]] = [{} for _ in range(_PARTS)]
        for key, value in items.items():
            parts[hash(key) % _PARTS][key] = value
        return cls(tuple(parts))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def __getitem__(self, key: str) -> V:
        return self._parts[hash(key) % _PARTS][key]

    @overload
    def get(self, key: str, /) -> V | None: ...
    @overload
    def get(self, key: str, /, default: V | D) -> V | D: ...
    def get(self, key: str, /, default: object = None) -> object:
        """Return the value of a key, or the default.

        Overridden, for Mapping's own goes by way of an exception, and every request asks.
        """
        return self._parts[hash(key) % _PARTS].get(key, default)

    def with_item(self, key: str, value: V) -> PersistentMap[V]:
        """Return a mapping in which `key` has this value."""
        index = hash(key) % _PARTS
        return self._with_part(index, {**self._parts[index], key: value})

    def without(self, key: str) -> PersistentMap[V]:
        """Return a mapping without that key. Raises KeyError when there is none."""
        index = hash(key) % _PARTS
        part = dict(self._parts[index])
        del part[key]
        return self._with_part(index, part)

    def _with_part(self, index: int, part: Mapping[str, V]) -> PersistentMap[V]:
        return PersistentMap((*self._parts[:index], part, *self._parts[index + 1 :]))


def edit_item(items: Mapping[str, V], key: str, value: V | None, few: int) -> Mapping[str, V]:
    """Return a mapping in which `key` has this value, or is not there for None.

    It is a dict of up to `few` items, which is copied, and a PersistentMap of more.
    """
    if isinstance(items, PersistentMap):
        if value is not None:
            return items.with_item(key, value)
        return items.without(key) if key in items else items
    edited = dict(items)
    if value is not None:
        edited[key] = value
    else:
        edited.pop(key, None)
    return compact_items(edited, few)


def compact_items(items: dict[str, V], few: int) -> Mapping[str, V]:
    """Return a dict of up to `few` items as it is, and a PersistentMap of more."""
    return items if len(items) <= few else PersistentMap.from_items(items)
