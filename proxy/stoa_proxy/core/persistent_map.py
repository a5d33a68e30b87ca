"""Mappings that are never edited: a change costs what it costs, however much did not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar, overload

V = TypeVar("V")
D = TypeVar("D")
_PARTS = 64
_NO_PARTS: tuple[Mapping[str, Any], ...] = ({},) * _PARTS


class PersistentMap(Mapping[str, V]):
    """An immutable mapping by text. A changed one shares all but one part in 64 with it.

    The order of its keys means nothing.
    """

    __slots__ = ("_count", "_parts")

    def __init__(self, parts: tuple[Mapping[str, V], ...] = _NO_PARTS) -> None:
        self._parts = parts
        self._count = sum(map(len, parts))

    @classmethod
    def of(cls, items: Mapping[str, V]) -> PersistentMap[V]:
        """A mapping of many items at once."""
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
        """The value of a key, or the default; not by way of an exception, for every request asks."""
        return self._parts[hash(key) % _PARTS].get(key, default)

    def with_item(self, key: str, value: V) -> PersistentMap[V]:
        """A mapping in which `key` has this value."""
        index = hash(key) % _PARTS
        return self._with_part(index, {**self._parts[index], key: value})

    def without(self, key: str) -> PersistentMap[V]:
        """A mapping without that key; KeyError when there is none."""
        index = hash(key) % _PARTS
        part = dict(self._parts[index])
        del part[key]
        return self._with_part(index, part)

    def _with_part(self, index: int, part: Mapping[str, V]) -> PersistentMap[V]:
        return PersistentMap((*self._parts[:index], part, *self._parts[index + 1 :]))
