"""A list of the admin API (routes, policies or consumers): each object's JSON, compressed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from stoa_proxy.admin.checks import View
from stoa_proxy.admin.sorted_ids import SortedIds
from stoa_proxy.core.persistent_map import PersistentMap

# A window of 4 KiB and little memory: objects are short, and a compressor allocates by its window.
_WINDOW_BITS = 12
_MEMORY_LEVEL = 5
# Half of the window, so that the dictionary is still in reach at the end of an object.
_MAX_DICTIONARY = 2048
# One part of a streamed list takes half a millisecond to make; others run between two parts.
_PART_BYTES = 32 * 1024
# `json.dumps` makes an encoder for each object.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class ObjectList:
    """The objects of one kind by id, and an entity tag that changes with every write.

    The objects of one list look alike, so each is compressed with the first object as dictionary:
    a fifth of their size is left (docs/adr/0013: 10 µs to compress one, 3 to decompress). Only
    views are kept here, which hold no secret, so what the sizes tell is none.
    """

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._dictionary = b""
        self._compressor = _make_compressor(b"")
        self._generation = 0
        self._compressed: PersistentMap[bytes] = PersistentMap()
        self._ids = SortedIds()

    def __len__(self) -> int:
        return len(self._compressed)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._compressed

    def __iter__(self) -> Iterator[str]:
        """Return the ids of now, sorted, whatever is written meanwhile."""
        return iter(self._ids)

    @property
    def etag(self) -> str:
        """The strong entity tag of the list, quotes included (RFC 9110, 8.8.3)."""
        return f'"{self._tag}-{self._generation}"'

    def copy(self, tag: str = "") -> ObjectList:
        """Return a list of the same objects, to be changed aside and adopted.

        One with a `tag` of its own is never adopted: both may change, and no entity tag of one is
        that of the other.
        """
        other = ObjectList(tag or self._tag)
        other.adopt(self)
        other._ids = self._ids.copy()
        return other

    def adopt(self, draft: ObjectList) -> None:
        """Become what a copy of this list has become, entity tag included; share its content."""
        self._dictionary, self._compressor = draft._dictionary, draft._compressor
        self._generation = draft._generation
        self._compressed, self._ids = draft._compressed, draft._ids

    def parts(self) -> Iterator[object]:
        """Return what the list consists of now, whatever is written meanwhile."""
        compressed = self._compressed
        return chain(compressed.holders(), compressed.values(), self._ids.parts())

    def get(self, item_id: str) -> bytes | None:
        """Return the JSON of one object, or None."""
        compressed = self._compressed.get(item_id)
        return None if compressed is None else _decompress(compressed, self._dictionary)

    def snapshot(self) -> Iterator[bytes]:
        """Return the JSON of each object as it is now, sorted by id; writes do not show in it."""
        ids, compressed, dictionary = iter(self._ids), self._compressed, self._dictionary
        return (_decompress(compressed[item_id], dictionary) for item_id in ids)

    def stream_json(self) -> Iterator[bytes]:
        """Yield the JSON array of all objects, sorted by id, in parts of 32 KiB.

        It is a snapshot: writes between two parts do not show. The array is not cached, because
        a client that asks again sends the entity tag.
        """
        return _stream(iter(self._ids), self._compressed, self._dictionary)

    @staticmethod
    def serialise(view: View) -> bytes:
        """Return an object's JSON as `get` does."""
        return _encode(view).encode()

    def put(self, item_id: str, view: View) -> None:
        """Store an object under its id."""
        content = self.serialise(view)
        if self._generation == 0:
            # For good, even if that object is deleted: all others are compressed against it.
            self._dictionary = content[:_MAX_DICTIONARY]
            self._compressor = _make_compressor(self._dictionary)
        if item_id not in self._compressed:
            self._ids.add(item_id)
        compressor = self._compressor.copy()
        compressed = compressor.compress(content) + compressor.flush()
        self._compressed = self._compressed.with_item(item_id, compressed)
        self._generation += 1

    def remove(self, item_id: str) -> None:
        """Remove an object. Raises KeyError when there is none."""
        self._compressed = self._compressed.without(item_id)
        self._ids.remove(item_id)
        self._generation += 1


def _stream(
    ids: Iterable[str], compressed: Mapping[str, bytes], dictionary: bytes
) -> Iterator[bytes]:
    opening, size = b"[", 0
    part: list[bytes] = []
    for item_id in ids:
        part.append(_decompress(compressed[item_id], dictionary))
        size += len(part[-1])
        if size >= _PART_BYTES:
            yield opening + b",".join(part)
            opening, size, part = b",", 0, []
    # Also closes an array of no objects, and one that ended exactly at a part's end.
    yield (opening if part or opening == b"[" else b"") + b",".join(part) + b"]"


def _make_compressor(dictionary: bytes) -> zlib._Compress:
    # Negative window bits: raw deflate, without six bytes of header and checksum per object.
    return zlib.compressobj(wbits=-_WINDOW_BITS, memLevel=_MEMORY_LEVEL, zdict=dictionary)


def _decompress(compressed: bytes, dictionary: bytes) -> bytes:
    return zlib.decompressobj(wbits=-_WINDOW_BITS, zdict=dictionary).decompress(compressed)
