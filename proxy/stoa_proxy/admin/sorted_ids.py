"""The ids of a list in their order, of which a copy shares nearly everything."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain
from typing import Final

_MOST: Final = 512
"""Ids of one part; with 100,000 ids the parts of a list are about as many."""


class SortedIds:
    """Ids without repetition, sorted.

    In parts, which are replaced and never changed: with one list of 100,000 ids each new id moved
    half of them, a copy took all, and the garbage collector 7 ms to look through a new one.
    """

    __slots__ = ("_firsts", "_parts")

    def __init__(self) -> None:
        self._firsts: list[str] = []
        self._parts: list[tuple[str, ...]] = []

    def copy(self) -> SortedIds:
        """Return the same ids, to be changed aside."""
        other = SortedIds()
        other._firsts, other._parts = self._firsts.copy(), self._parts.copy()
        return other

    def __iter__(self) -> Iterator[str]:
        """Return the ids of now, whatever is changed meanwhile."""
        return chain.from_iterable(self._parts.copy())

    def parts(self) -> Iterator[tuple[str, ...]]:
        """Return the parts of now, whatever is changed meanwhile."""
        return iter(self._parts.copy())

    def add(self, item_id: str) -> None:
        """Take an id that is not there."""
        if not self._parts:
            self._put(0, 0, (item_id,))
            return
        index = max(bisect_right(self._firsts, item_id) - 1, 0)
        part = self._parts[index]
        place = bisect_left(part, item_id)
        if len(part) < _MOST:
            self._put(index, 1, (*part[:place], item_id, *part[place:]))
        elif place == len(part):
            # Most often they come in their order: parts stay full.
            self._put(index + 1, 0, (item_id,))
        else:
            middle = _MOST // 2
            self._put(index, 1, part[:middle], part[middle:])
            self.add(item_id)

    def remove(self, item_id: str) -> None:
        """Remove an id. Raises KeyError when it is not there."""
        index = bisect_right(self._firsts, item_id) - 1
        part = self._parts[index] if index >= 0 else ()
        place = bisect_left(part, item_id)
        if part[place : place + 1] != (item_id,):
            raise KeyError(item_id)
        rest = (*part[:place], *part[place + 1 :])
        self._put(index, 1, *((rest,) if rest else ()))

    def _put(self, index: int, count: int, *parts: tuple[str, ...]) -> None:
        """Replace so many parts by these."""
        self._parts[index : index + count] = parts
        self._firsts[index : index + count] = [part[0] for part in parts]
