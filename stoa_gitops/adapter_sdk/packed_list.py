"""Lists that an adapter keeps from one look to the next, in a thirtieth of the memory of dicts."""

from __future__ import annotations

import itertools
import marshal
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, overload

_TOGETHER: Final = 256
"""Items in a parcel: enough to find what they have in common, and little to have unpacked at once."""


class Packed(Sequence["dict[str, Any]"]):
    """The items of a `list_*` answer. Reading them unpacks them anew, some hundred at a time.

    What was read belongs to the reader: two readings give equal items, never the same ones. That nothing moved is told
    by the list itself, which stays the same object.
    """

    __slots__ = ("_count", "_parcels")

    def __init__(self, items: Iterable[dict[str, Any]]) -> None:
        left = iter(items)
        self._count = 0
        self._parcels: list[bytes] = []
        while some := list(itertools.islice(left, _TOGETHER)):
            self._count += len(some)
            self._parcels.append(zlib.compress(marshal.dumps(some), 1))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for parcel in self._parcels:
            yield from _unpacked(parcel)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return list(self)[index]
        at = index + self._count if index < 0 else index
        if not 0 <= at < self._count:
            raise IndexError(index)
        return _unpacked(self._parcels[at // _TOGETHER])[at % _TOGETHER]


def _unpacked(parcel: bytes) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = marshal.loads(zlib.decompress(parcel))  # noqa: S302 - made here
    return items
