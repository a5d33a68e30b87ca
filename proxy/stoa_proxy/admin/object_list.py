"""One list of the admin API: the JSON of each object as it is read back, kept packed."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence

from stoa_proxy.admin.policies_consumers import View

# Small windows: what is packed is short, and a packer allocates by the size of its window.
_WINDOW_BITS = 12
_MEMORY_LEVEL = 5
_LONGEST = 2048
_PIECE = 32 * 1024


class Collection:
    """Objects by id, and a tag that changes with every write.

    The objects of one list say much the same, so each is packed against `words`, which are likely
    to occur in them, and against the first object of all: a fifth of their size is left.
    """

    def __init__(self, tag: str, words: bytes) -> None:
        self._tag = tag
        self._words = words[-_LONGEST:]
        self._packer = _packer(self._words)
        self._generation = 0
        self._packed: dict[str, bytes] = {}
        self._ids: list[str] = []

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def etag(self) -> str:
        """A strong entity tag, quotes included."""
        return f'"{self._tag}-{self._generation}"'

    def get(self, item_id: str) -> bytes | None:
        """The JSON of one object."""
        packed = self._packed.get(item_id)
        return None if packed is None else _unpack(packed, self._words)

    def listing(self) -> Iterator[bytes]:
        """The JSON array of all objects as they are now, sorted by id, in pieces.

        Not kept, for who asks again asks with the tag. Writes between two pieces do not show.
        """
        return _pieces(self._ids.copy(), self._packed.copy(), self._words)

    def put(self, item_id: str, view: View) -> None:
        """Store an object."""
        content = json.dumps(view, separators=(",", ":")).encode()
        if self._generation == 0:
            self._words += content[:_LONGEST]
            self._packer = _packer(self._words)
        if item_id not in self._packed:
            insort(self._ids, item_id)
        packer = self._packer.copy()
        self._packed[item_id] = packer.compress(content) + packer.flush()
        self._generation += 1

    def drop(self, item_id: str) -> None:
        """Forget an object; KeyError when there is none."""
        del self._packed[item_id]
        del self._ids[bisect_left(self._ids, item_id)]
        self._generation += 1


def _pieces(ids: Sequence[str], packed: Mapping[str, bytes], words: bytes) -> Iterator[bytes]:
    opening, size = b"[", 0
    found: list[bytes] = []
    for item_id in ids:
        found.append(_unpack(packed[item_id], words))
        size += len(found[-1])
        if size >= _PIECE:
            yield opening + b",".join(found)
            opening, size, found = b",", 0, []
    yield (opening if found or opening == b"[" else b"") + b",".join(found) + b"]"


def _packer(words: bytes) -> zlib._Compress:
    return zlib.compressobj(wbits=-_WINDOW_BITS, memLevel=_MEMORY_LEVEL, zdict=words)


def _unpack(packed: bytes, words: bytes) -> bytes:
    return zlib.decompressobj(wbits=-_WINDOW_BITS, zdict=words).decompress(packed)
