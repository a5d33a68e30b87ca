"""Undoes the content encodings of a response (RFC 9110 §8.4): gzip and deflate, in pieces."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Final

PIECE: Final = 1 << 20
"""Bytes of a decoded piece: what is small on the wire may be a thousand times as long."""

_GZIP: Final = zlib.MAX_WBITS | 16
_HEADER: Final = 2
"""Bytes of the header of zlib."""

Step = Callable[[bytes], Iterator[bytes]]


def decoded(pieces: AsyncIterable[bytes], encodings: str) -> AsyncIterator[bytes]:
    """Return the pieces of a body without its encodings; unknown ones are left as they are.

    Raises zlib.error where a piece is not of its encoding.
    """
    # The one that was applied last comes last, and off first.
    for name in reversed([one.strip().lower() for one in encodings.split(",")]):
        if name in ("gzip", "x-gzip"):
            pieces = _stepped(pieces, _inflater(_GZIP))
        elif name == "deflate":
            pieces = _stepped(pieces, _deflate())
    return pieces.__aiter__()


async def _stepped(pieces: AsyncIterable[bytes], step: Step) -> AsyncIterator[bytes]:
    async for piece in pieces:
        for one in step(piece):
            yield one


def _inflater(window: int) -> Step:
    state = zlib.decompressobj(window)

    def step(piece: bytes) -> Iterator[bytes]:
        while piece:
            yield state.decompress(piece, PIECE)
            piece = state.unconsumed_tail

    return step


def _deflate() -> Step:
    """Some servers send deflate without the wrapper of zlib that it has by RFC 9110 §8.4.1.2."""
    chosen: list[Step] = []
    head = bytearray()

    def step(piece: bytes) -> Iterator[bytes]:
        if chosen:
            yield from chosen[0](piece)
            return
        head.extend(piece)
        if len(head) >= _HEADER:
            # Its header is told by its method and its check (RFC 1950 §2.2).
            is_wrapped = head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0
            chosen.append(_inflater(zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS))
            yield from chosen[0](bytes(head))

    return step
