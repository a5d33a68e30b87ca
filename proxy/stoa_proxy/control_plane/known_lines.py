"""Which lines of a document were taken, so that they change nothing when they come again."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from itertools import chain
from typing import Final

Name = tuple[str, str]
"""Kind and id of an object."""

_PARTS: Final = 64


class KnownLines(MutableMapping[bytes, Name]):
    """What was taken from which line, by a keyed hash of it.

    In parts by the first byte of the hash: a dict of 100,000 takes 2.5 ms to grow once.
    """

    def __init__(self) -> None:
        self._parts: tuple[dict[bytes, Name], ...] = tuple({} for _ in range(_PARTS))

    def __getitem__(self, digest: bytes) -> Name:
        return self._parts[digest[0] % _PARTS][digest]

    def __setitem__(self, digest: bytes, name: Name) -> None:
        self._parts[digest[0] % _PARTS][digest] = name

    def __delitem__(self, digest: bytes) -> None:
        del self._parts[digest[0] % _PARTS][digest]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __bool__(self) -> bool:
        return any(self._parts)

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._parts)

    def popitem(self) -> tuple[bytes, Name]:
        """Remove and return one. Raises KeyError when there is none."""
        for part in self._parts:
            if part:
                return part.popitem()
        raise KeyError("no line is known")
