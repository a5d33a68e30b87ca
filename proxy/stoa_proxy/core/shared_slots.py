"""Counters in memory that several processes have: a table of fixed size, found by a hash.

A slot has a key and two copies of its figures, one of which counts. A change is written to the
other one, and then one byte says that it counts: a process that is killed in between has changed
nothing. No I/O: the memory and its locks are handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final, NamedTuple, Protocol

TENTHS: Final = 11
WAYS: Final = 8
"""Slots of a bucket, which is what a key's hash leads to and what is locked."""

_DIGEST: Final = 16
_NO_DIGEST: Final = bytes(_DIGEST)
# used, at, expires, seconds; and tenths behind them, which only sliding windows have.
_FIGURES: Final = Struct("<dddd")
_ALL: Final = Struct(f"<dddd{TENTHS}I")
_EXPIRES: Final = Struct("<d")
_EXPIRES_AT: Final = 16
# The key, the number of the copy that counts, and two copies at offsets that eight divides.
_COPIES: Final = (24, 24 + 80)
_SLOT: Final = 184
_BUCKET: Final = WAYS * _SLOT
# Keys whose places are remembered; all are forgotten when there are so many.
_MOST_KNOWN: Final = 20_000
_NO_TENTHS: Final = (0,) * TENTHS


class Memory(Protocol):
    """Bytes, and locks by number (`foundation.shared_memory`)."""

    @property
    def bytes(self) -> Any:
        """The bytes: what can be searched, read and written by position."""

    def lock(self, numbers: Sequence[int]) -> None:
        """Take locks, sorted by number."""

    def unlock(self, numbers: Sequence[int]) -> None:
        """Give them back."""


class Place(NamedTuple):
    """Where a key belongs: its hash, the number of its lock, and where its bucket begins.

    `locks` is that number alone, as `lock` takes it.
    """

    digest: bytes
    lock: int
    start: int
    locks: tuple[int]


class Figures(NamedTuple):
    """What a slot holds; `seconds` is the length of one of `tenths`, 0 without them."""

    used: float
    at: float
    expires: float
    seconds: float = 0.0
    tenths: Sequence[int] = _NO_TENTHS


class SlotTable:
    """A part of `memory`: `buckets` buckets from `start` on, whose locks begin with `first_lock`.

    `secret` is in no caller's hands, so nobody chooses which keys meet in a bucket. Whoever looks
    for a slot, reads or writes it has the lock of its place. Times are those of the caller.
    """

    def __init__(
        self, memory: Memory, secret: bytes, *, buckets: int, start: int = 0, first_lock: int = 0
    ) -> None:
        self._memory = memory
        self._bytes = memory.bytes
        self._secret = secret
        self._buckets = buckets
        self._start = start
        self._first_lock = first_lock
        self._known: dict[tuple[str, ...], Place] = {}
        self.lock = memory.lock
        self.unlock = memory.unlock

    @staticmethod
    def size_of(buckets: int) -> int:
        """Return how many bytes so many buckets take."""
        return buckets * _BUCKET

    def place(self, key: tuple[str, ...]) -> Place:
        """Return where a key belongs."""
        place = self._known.get(key)
        if place is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            # `repr` tells ("a", "b") from ("ab",), and writes what no encoding has as escapes.
            text = repr(tuple(key)).encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(text, digest_size=_DIGEST, key=self._secret).digest()
            bucket = int.from_bytes(digest[:8], "little") % self._buckets
            lock, start = self._first_lock + bucket, self._start + bucket * _BUCKET
            place = Place(digest, lock, start, (lock,))
            self._known[key] = place
        return place

    def find(self, place: Place) -> int | None:
        """Return the slot of a key, None where it has none."""
        start = place.start
        at: int = self._bytes.find(place.digest, start, start + _BUCKET)
        # Elsewhere in a slot the same bytes are figures.
        return None if at < 0 or (at - start) % _SLOT else at

    def take(self, place: Place, figures: Figures, now: float) -> bool:
        """Give a key a slot that is free, or whose counter has expired; False without one."""
        for at in range(place.start, place.start + _BUCKET, _SLOT):
            if self._bytes[at : at + _DIGEST] == _NO_DIGEST or self._expires(at) <= now:
                # Without a key first: whoever is killed here leaves no key with another's figures.
                self._bytes[at : at + _DIGEST] = _NO_DIGEST
                self.write(at, figures)
                self._bytes[at : at + _DIGEST] = place.digest
                return True
        return False

    def read(self, slot: int) -> Figures:
        """Return what a slot holds."""
        copy = slot + _COPIES[self._bytes[slot + _DIGEST] & 1]
        used, at, expires, seconds = _FIGURES.unpack_from(self._bytes, copy)
        if not seconds:
            return Figures(used, at, expires)
        return Figures(used, at, expires, seconds, _ALL.unpack_from(self._bytes, copy)[4:])

    def write(self, slot: int, figures: Figures) -> None:
        """Replace what a slot holds, at once."""
        other = self._bytes[slot + _DIGEST] & 1 ^ 1
        used, at, expires, seconds, tenths = figures
        copy = slot + _COPIES[other]
        if seconds:
            _ALL.pack_into(self._bytes, copy, used, at, expires, seconds, *tenths)
        else:
            _FIGURES.pack_into(self._bytes, copy, used, at, expires, seconds)
        self._bytes[slot + _DIGEST] = other

    def _expires(self, slot: int) -> float:
        copy = slot + _COPIES[self._bytes[slot + _DIGEST] & 1]
        expires: float
        (expires,) = _EXPIRES.unpack_from(self._bytes, copy + _EXPIRES_AT)
        return expires
