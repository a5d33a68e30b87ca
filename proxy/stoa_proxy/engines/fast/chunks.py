"""The content of bodies in chunks, by httptools; requests are checked by `http.framing` before."""

from __future__ import annotations

import httptools

from stoa_proxy.errors import ProxyError

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class ChunksRefused(ProxyError):
    """Bytes that are no chunked body."""


class ChunkDecoder:
    """Takes a chunked body as it comes; extensions and trailers are left out (RFC 9110, 6.5.1)."""

    __slots__ = ("_found", "_parser", "has_garbage")

    def __init__(self) -> None:
        # Beside this one: the parser refers to it, and both would wait for a collection.
        self._found = _Found()
        self._parser = httptools.HttpResponseParser(self._found)
        self._parser.feed_data(_HEAD)
        self.has_garbage = False
        """Whether something that is no message followed it."""

    @property
    def is_whole(self) -> bool:
        """Whether its end came."""
        return self._found.is_whole

    @property
    def has_more(self) -> bool:
        """Whether a message followed it."""
        return self._found.has_more

    def feed(self, data: bytes) -> bytes:
        """Return the content of what came. Raises ChunksRefused."""
        found = self._found
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not found.is_whole:
                raise ChunksRefused(str(error)) from error
            self.has_garbage = True
        parts, found.parts = found.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Found:
    """What httptools found."""

    __slots__ = ("has_more", "is_whole", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_whole = self.has_more = False

    def on_message_begin(self) -> None:
        """Note a second message: the first one is what the decoder begins with."""
        self.has_more = self.is_whole

    def on_body(self, body: bytes) -> None:
        """Keep a part of the content."""
        if not self.is_whole:
            self.parts.append(body)

    def on_message_complete(self) -> None:
        """Note the end."""
        self.is_whole = True
