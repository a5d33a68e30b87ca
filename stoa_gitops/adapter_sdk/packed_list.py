"""`PackedList`: a compressed list that an adapter keeps between observations (docs/adr/0013)."""

from __future__ import annotations

import itertools
import marshal
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

from stoa_gitops.adapter_sdk.contract import ListItem

# Enough items for zlib to find what they have in common, few enough to hold unpacked at once.
_CHUNK_ITEMS: Final = 256


class PackedList(Sequence[ListItem]):
    """The items of a `list_*` result in about a thirtieth of the memory of dicts.

    Each reading unpacks new items, some hundred at a time: two readings give equal items, never
    identical ones, and the reader may change them. That nothing changed on the gateway is told by
    the identity of the list itself.
    """

    __slots__ = ("__weakref__", "_chunks", "_count")

    def __init__(self, items: Iterable[ListItem]) -> None:
        remaining = iter(items)
        self._count = 0
        self._chunks: list[bytes] = []
        while chunk := list(itertools.islice(remaining, _CHUNK_ITEMS)):
            self._count += len(chunk)
            # marshal rather than json: no text in between. Level 1: higher ones save little here.
            self._chunks.append(zlib.compress(marshal.dumps(chunk), 1))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ListItem]:
        for chunk in self._chunks:
            yield from _unpack(chunk)

    @overload
    def __getitem__(self, index: int) -> ListItem: ...

    @overload
    def __getitem__(self, index: slice) -> list[ListItem]: ...

    def __getitem__(self, index: int | slice) -> ListItem | list[ListItem]:
        if isinstance(index, slice):
            return list(self)[index]
        position = index + self._count if index < 0 else index
        if not 0 <= position < self._count:
            raise IndexError(index)
        return _unpack(self._chunks[position // _CHUNK_ITEMS])[position % _CHUNK_ITEMS]


def _unpack(chunk: bytes) -> list[ListItem]:
    # S302 warns of marshal on foreign data; these bytes were made above and never left the process.
    items: list[ListItem] = marshal.loads(zlib.decompress(chunk))  # noqa: S302
    return items
