"""Responses of upstreams as they come: heads checked strictly, bodies to their end."""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from stoa_proxy.engines.complete.upstream.failures import (
    BROKEN_OFF,
    LONGER,
    MALFORMED,
    NO_HTTP,
    NO_STATUS,
    NO_WEBSOCKET,
    PADDED,
    TOO_LARGE,
    unanswered,
)
from stoa_proxy.engines.fast.chunks import ChunkDecoder, ChunksRefused
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.http.heads import Header

_START: Final = b"HTTP/1."
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
# Possessive quantifiers (`++`): no backtracking, so that no head takes more than linear time.
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([0-9]{3})(?: (%b*+))?\r\n((?:%b++:%b*+\r\n)*+)\r\n" % (_TEXT, _TOKEN, _TEXT)
)
_FIELD = re.compile(rb"([^:\r\n]+):[ \t]*([^\r\n]*)\r\n")
_DIGITS = re.compile(rb"[0-9]{1,18}")
# As the complete engine bounds them (`complete.upstream.http1`, aiohttp's number of headers).
_MAX_LINE, _MAX_FIELD, _MAX_FIELDS = 8190, 64 * 1024, 128
_MAX_HEAD = 4 * _MAX_FIELD
_INTERIM = frozenset({100, 102, 103, 104})
_MAX_INTERIM = 100
_MAX_PADDING: Final = 256 * 1024
_MAX_OVERHEAD: Final = 32
_WITHOUT_BODY = frozenset({204, 304})


class ResponseHead(NamedTuple):
    """The head of a final response.

    `length` is that of its body, None where only its end tells; `is_last` is whether the
    connection carries no other.
    """

    status: int
    reason: str
    headers: list[Header]
    length: int | None
    is_chunked: bool
    is_last: bool


class ResponseReader:
    """Reads one response: `feed_head` until there is a head, then `feed_body`.

    `is_whole` is whether all of it came, `has_more` whether bytes came behind it, `is_begun`
    whether anything came.
    """

    __slots__ = (
        "_buffer", "_chunks", "_content", "_framed", "_interims", "_is_head", "_left", "has_more",
        "is_begun", "is_whole",
    )  # fmt: skip

    def __init__(self, method: str) -> None:
        self._is_head = method == "HEAD"
        self._buffer = b""
        self._interims = 0
        self._left: float = 0
        self._chunks: ChunkDecoder | None = None
        self._framed = self._content = 0
        self.is_begun = self.is_whole = self.has_more = False

    def feed_head(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Return the head and the content that came behind it; None while it is incomplete.

        Raises UpstreamFailed.
        """
        self.is_begun = True
        data = self._buffer + data if self._buffer else data
        while True:
            if not data.startswith(_START) and not _START.startswith(data):
                raise UpstreamFailed("bad-answer", NO_HTTP)
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(data) > _MAX_HEAD:
                    raise UpstreamFailed("bad-answer", TOO_LARGE)
                self._buffer = data
                return None
            head = parse_response_head(data[:end])
            data = data[end:]
            if head.status >= 200:
                break
            if head.status not in _INTERIM:
                detail = NO_WEBSOCKET if head.status == 101 else NO_STATUS
                raise UpstreamFailed("bad-answer", detail)
            self._interims += 1
            if self._interims > _MAX_INTERIM:
                raise UpstreamFailed("bad-answer", MALFORMED)
            if not data:
                self._buffer = b""
                return None
        self._buffer = b""
        return head, self._begin_body(head, data)

    def feed_body(self, data: bytes) -> bytes:
        """Return the content of what came. Raises UpstreamFailed for a malformed body."""
        if self.is_whole:
            self.has_more = self.has_more or bool(data)
            return b""
        if self._chunks is not None:
            return self._feed_chunks(self._chunks, data)
        self._left -= len(data)
        if self._left > 0:
            return data
        self.is_whole = True
        if not self._left:
            return data
        self.has_more = True
        content, self._left = data[: int(self._left)], 0
        return content

    def end(self) -> bool:
        """Note that the connection has ended; return whether the response is whole."""
        if self._left == math.inf:
            self.is_whole = True
        return self.is_whole

    def failure(self, lost_by: BaseException | None) -> UpstreamFailed:
        """Return what it means that the connection ended before the head did, by this error."""
        if self.is_begun:
            return UpstreamFailed("bad-answer", BROKEN_OFF)
        return unanswered(lost_by)

    def _begin_body(self, head: ResponseHead, data: bytes) -> bytes:
        if self._is_head or head.status in _WITHOUT_BODY:
            self.is_whole = True
        elif head.is_chunked:
            self._chunks = ChunkDecoder()
        elif head.length is None:
            self._left = math.inf
        else:
            self._left = head.length
            self.is_whole = not head.length
        content = self.feed_body(data) if data else b""
        # What looks like a response of its own is none that was asked for, and is not read;
        # anything else says that the length of this one is wrong.
        if self.has_more:
            has_garbage = (
                not data.startswith(_START, len(content))
                if self._chunks is None
                else self._chunks.has_garbage
            )
            if has_garbage:
                raise UpstreamFailed("bad-answer", LONGER)
        return content

    def _feed_chunks(self, chunks: ChunkDecoder, data: bytes) -> bytes:
        try:
            content = chunks.feed(data)
        except ChunksRefused as error:
            raise UpstreamFailed("bad-answer", MALFORMED) from error
        self.is_whole = chunks.is_whole
        self.has_more = chunks.has_more or chunks.has_garbage
        self._framed += len(data)
        self._content += len(content)
        # The parser skips extensions, zeros and trailers without end
        # (`complete.upstream.failures`).
        if self._framed > _MAX_PADDING + _MAX_OVERHEAD * self._content:
            raise UpstreamFailed("bad-answer", PADDED)
        return content


def parse_response_head(head: bytes) -> ResponseHead:
    """Return a head with its empty line, checked strictly. Raises UpstreamFailed."""
    match = _HEAD.fullmatch(head)
    if match is None:
        raise UpstreamFailed("bad-answer", MALFORMED)
    minor, status, reason, block = match.groups()
    fields: list[tuple[bytes, bytes]] = _FIELD.findall(block)
    if len(fields) > _MAX_FIELDS or head.index(b"\r\n") > _MAX_LINE:
        raise UpstreamFailed("bad-answer", TOO_LARGE)
    if len(block) > _MAX_FIELD and any(len(n) + len(v) > _MAX_FIELD for n, v in fields):
        raise UpstreamFailed("bad-answer", TOO_LARGE)
    length, codings, is_last = None, 0, minor == b"0"
    headers: list[Header] = []
    for raw_name, raw_value in fields:
        name, value = raw_name.lower(), raw_value.rstrip(b" \t")
        if name == b"content-length":
            if length is not None or _DIGITS.fullmatch(value) is None:
                raise UpstreamFailed("bad-answer", MALFORMED)
            length = int(value)
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked":
                raise UpstreamFailed("bad-answer", MALFORMED)
        elif name == b"connection" and b"close" in value.lower():
            is_last = True
        headers.append((raw_name.decode("ascii"), _decode(value)))
    if codings > 1 or (codings and length is not None):
        raise UpstreamFailed("bad-answer", MALFORMED)
    return ResponseHead(
        int(status), _decode(reason or b""), headers, length, bool(codings), is_last
    )


def _decode(raw: bytes) -> str:
    """Return a value as text: UTF-8, or Latin-1 as older servers send it (RFC 9110, 5.5)."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
