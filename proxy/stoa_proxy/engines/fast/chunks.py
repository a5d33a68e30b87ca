"""The content of bodies in chunks, by httptools; requests are checked by `http.framing` before."""

from __future__ import annotations

import httptools

from stoa_proxy.errors import ProxyError

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class ChunksRefused(ProxyError):
    """Bytes that are no chunked body."""


class ChunkDecoder:
    """Takes a chunked body as it comes; extensions and trailers are left out (RFC 9110, 6.5.1).

    `is_whole` is set at its end, `has_more` when a message followed it, and `has_garbage` when
    something else did.
    """

    __slots__ = ("_parser", "_parts", "has_garbage", "has_more", "is_whole")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.is_whole = False
        self.has_more = False
        self.has_garbage = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(_HEAD)

    def feed(self, data: bytes) -> bytes:
        """Return the content of what came. Raises ChunksRefused."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.is_whole:
                raise ChunksRefused(str(error)) from error
            self.has_garbage = True
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Note a second message: of the first one the parser has told in `__init__`."""
        self.has_more = self.is_whole

    def on_body(self, body: bytes) -> None:
        """Keep a part of the content."""
        if not self.is_whole:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Note the end."""
        self.is_whole = True
