"""A request's body on its way: streamed, and remembered while it is small."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

REPLAY_LIMIT = 64 * 1024


class ByteStream(Protocol):
    """What a body is read from."""

    async def readany(self) -> bytes:
        """The next bytes; empty at the end."""
        ...


class BodyLost(Exception):
    """The body was sent once, was too large to be remembered, and is asked for again."""


class RequestBody:
    """Streams a body. The first `keep` bytes are remembered, so that a body that is not larger
    can be sent a second time.
    """

    def __init__(self, stream: ByteStream, keep: int = REPLAY_LIMIT) -> None:
        self._stream = stream
        self._keep = keep
        self._kept: list[bytes] = []
        self._size = 0

    @property
    def is_repeatable(self) -> bool:
        """Whether the body can be sent (again) from its beginning."""
        return self._size <= self._keep

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not self.is_repeatable:
            raise BodyLost
        for chunk in tuple(self._kept):
            yield chunk
        while chunk := await self._stream.readany():
            self._remember(chunk)
            yield chunk

    async def read(self, limit: int) -> tuple[bytes, bool]:
        """The first `limit` bytes, and whether there are more. Raises BodyLost."""
        found = bytearray()
        async for chunk in self:
            found += chunk
            if len(found) > limit:
                return bytes(found[:limit]), True
        return bytes(found), False

    def _remember(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self.is_repeatable:
            self._kept.append(chunk)
        else:
            self._kept.clear()
