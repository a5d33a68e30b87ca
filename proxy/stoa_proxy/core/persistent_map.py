"""An immutable mapping of which a changed copy shares nearly everything.

With 10,000 items a write takes 2 µs instead of 22 for a copied dict, a read 0.09 instead of 0.04;
with 100,000 a write takes no longer. What a write makes anew is small, however many items there
are: the garbage collector looks through all of it while a table is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final, TypeVar, overload

V = TypeVar("V")
D = TypeVar("D")
_BITS: Final = 6
PARTS: Final = 1 << _BITS
"""More make writes cheaper and an empty mapping larger; 64 have about 150 of 10,000 items."""

_MASK: Final = PARTS - 1
# Of the items of a part: beyond it has parts itself. With 100,000 it was a dict of 1,500, and what
# a build of such a table left to one garbage collection took up to 40 ms.
_MOST: Final = 256
# A hash has 64 bits, of which each level takes 6.
_LAST_SHIFT: Final = 54
_NO_PARTS: Final[tuple[Mapping[str, Any], ...]] = ({},) * PARTS


class PersistentMap(Mapping[str, V]):
    """An immutable mapping by text; a changed copy shares all but one of its 64 parts with it.

    `parts` are dicts, or of more than 256 items mappings like this one: a key is in the one that
    `hash(key) & 63` names. The order of the keys means nothing: it depends on the hash seed of the
    process.
    """

    __slots__ = ("_count", "_shift", "parts")

    parts: tuple[Mapping[str, V], ...]

    def __init__(
        self, parts: tuple[Mapping[str, V], ...] = _NO_PARTS, count: int = 0, shift: int = 0
    ) -> None:
        self.parts = parts
        self._count = count
        self._shift = shift

    @classmethod
    def from_items(cls, items: Mapping[str, V], shift: int = 0) -> PersistentMap[V]:
        """Return a mapping of these items; by the bits of hashes from `shift` on."""
        parts: list[dict[str, V]] = [{} for _ in range(PARTS)]
        for key, value in items.items():
            parts[hash(key) >> shift & _MASK][key] = value
        below = shift + _BITS
        return cls(tuple(_divide(part, below) for part in parts), len(items), shift)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.parts)

    def __getitem__(self, key: str) -> V:
        return self.parts[hash(key) >> self._shift & _MASK][key]

    @overload
    def get(self, key: str, /) -> V | None: ...
    @overload
    def get(self, key: str, /, default: V | D) -> V | D: ...
    def get(self, key: str, /, default: object = None) -> object:
        """Return the value of a key, or the default.

        Overridden, for Mapping's own goes by way of an exception, and every request asks.
        """
        return self.parts[hash(key) >> self._shift & _MASK].get(key, default)

    def with_item(self, key: str, value: V) -> PersistentMap[V]:
        """Return a mapping in which `key` has this value."""
        index = hash(key) >> self._shift & _MASK
        part = self.parts[index]
        if isinstance(part, PersistentMap):
            return self._with_part(index, part.with_item(key, value))
        return self._with_part(index, _divide({**part, key: value}, self._shift + _BITS))

    def without(self, key: str) -> PersistentMap[V]:
        """Return a mapping without that key. Raises KeyError when there is none."""
        index = hash(key) >> self._shift & _MASK
        part = self.parts[index]
        if isinstance(part, PersistentMap):
            rest = part.without(key)
            # Not as soon as it could be: a part may come and go at the bound.
            return self._with_part(index, rest if len(rest) > _MOST // 2 else dict(rest))
        left = dict(part)
        del left[key]
        return self._with_part(index, left)

    def holders(self) -> Iterator[Mapping[str, V]]:
        """Yield the mappings that it consists of, each before those that it holds."""
        yield self
        for part in self.parts:
            if isinstance(part, PersistentMap):
                yield from part.holders()
            else:
                yield part

    def _with_part(self, index: int, part: Mapping[str, V]) -> PersistentMap[V]:
        parts = self.parts
        count = self._count + len(part) - len(parts[index])
        return PersistentMap((*parts[:index], part, *parts[index + 1 :]), count, self._shift)


def _divide(part: dict[str, V], shift: int) -> Mapping[str, V]:
    """Return a part of few items as it is, and one that has parts itself of more."""
    is_small = len(part) <= _MOST or shift > _LAST_SHIFT
    return part if is_small else PersistentMap.from_items(part, shift)


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
