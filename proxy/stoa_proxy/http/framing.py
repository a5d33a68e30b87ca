"""Where requests begin and end on a connection, checked before any parser sees a byte.

Two readers that disagree about a request's end can be made to see different requests, so whatever
leaves a doubt ends the connection: both length fields, repeated or odd lengths, transfer codings
other than `chunked`, folded headers, blanks before a colon, control characters, bare line feeds
(RFC 9112, 2.2, 5.1, 6.3, 7.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from stoa_proxy.errors import FramingRefused

MAX_HEAD = 64 * 1024
# A chunk's size and its extensions, which nobody uses and senders could fill without end.
_MAX_LINE = 4096
# RFC 9112, 2.2: at least one before a request is to be ignored.
_MAX_EMPTY_LINES = 16
_MAX_TRAILERS = 16 * 1024

# Possessive quantifiers (`++`): no backtracking, so that no head takes more than linear time.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_FIELD = rb"%b{1,256}+:[\t\x20-\x7e\x80-\xff]*+\r\n" % _TOKEN
FIELD = re.compile(_FIELD)
"""A header with the end of its line."""
_HEAD = re.compile(rb"%b{1,64}+ [\x21-\x7e]++ HTTP/1\.[01]\r\n(?:%b)*+\r\n" % (_TOKEN, _FIELD))
_TRAILERS = re.compile(rb"(?:%b)*+\r\n" % _FIELD)
_LENGTH = re.compile(rb"\r\ncontent-length:([^\r]*)")
_CODING = re.compile(rb"\r\ntransfer-encoding:([^\r]*)")
_TUNNEL = re.compile(rb"\Aconnect |\r\nupgrade:[^\r]*websocket")
# 18 and 15 digits fit 64 bits: a longer number could mean another one to another reader.
_DIGITS = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[\t ]*;[\t\x20-\x7e]*)?")
_BLANKS = b" \t"

Step = Callable[["Framing", bytes, int], int]
"""Reads what begins at a place in bytes."""


class Framing:
    """The framing of one connection's requests.

    `feed` takes bytes as they arrive and returns those that may be parsed: whole heads only, and
    bodies as they come. After a request that asks to leave HTTP (`Upgrade`, CONNECT) bytes pass
    unchecked: the connection carries no second request then. Trailers are checked and left out
    (RFC 9110, 6.5.1): a parser could take them for headers, and aiohttp 3.14 takes the last one
    for a header of the next request.
    """

    __slots__ = (
        "_held", "_is_between", "_is_last", "_left", "_lines", "_scanned", "_step", "_trailers",
    )  # fmt: skip

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        self._scanned = 0
        self._is_last = False
        self._lines = 0
        self._trailers: list[tuple[int, int]] = []
        self._expect(Framing._read_head, is_between=True)

    @property
    def is_inside_body(self) -> bool:
        """Whether the last request has not ended yet."""
        return not self._is_between

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that may be parsed.

        Raises FramingRefused, which carries those before the doubt.
        """
        if self._is_between and not self._held and self._is_one_head(data):
            return data
        data, self._held = self._held + data, b""
        start = 0
        try:
            while start < len(data):
                end = self._step(self, data, start)
                if end < 0:
                    break
                start = end
        except FramingRefused as refused:
            refused.before = self._without_trailers(data, start)
            raise
        self._held = data[start:]
        return self._without_trailers(data, start)

    def _without_trailers(self, data: bytes, end: int) -> bytes:
        """Return `data[:end]` with the empty line alone where trailers were read."""
        if not self._trailers:
            return data[:end]
        parts, last = [], 0
        for begin, behind in self._trailers:
            parts += [data[last:begin], b"\r\n"]
            last = behind
        self._trailers.clear()
        return b"".join([*parts, data[last:end]])

    @property
    def content_ahead(self) -> int:
        """How many of the next bytes are content of a body, whatever they are."""
        return self._left

    @property
    def is_idle(self) -> bool:
        """Whether the next byte begins a request."""
        return self._is_between and not self._held

    @property
    def is_last(self) -> bool:
        """Whether the last head asks to leave HTTP, so that no other request follows."""
        return self._is_last

    @property
    def is_inside_head(self) -> bool:
        """Whether a head has begun and is not complete yet."""
        return self._is_between and bool(self._held)

    def read_head(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the next head and the bytes behind it; nothing while it is incomplete.

        With `read_body` for readers that take one request at a time; `feed` is for those that take
        everything. Raises FramingRefused.
        """
        if not self._held and self._is_one_head(data):
            return data, b""
        data, self._held = self._held + data, b""
        start = 0
        while start < len(data):
            end = self._read_head(data, start)
            if end < 0:
                break
            if end - start > 2:  # else an empty line before it
                return data[start:end], data[end:]
            start = end
        self._held = data[start:]
        return b"", b""

    def read_body(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what belongs to the body of the last head, still coded, and the bytes behind it.

        The body has ended when `is_inside_body` is false. Raises FramingRefused.
        """
        data, self._held = self._held + data, b""
        start = 0
        try:
            while start < len(data) and not self._is_between:
                end = self._step(self, data, start)
                if end < 0:
                    break
                start = end
        except FramingRefused as refused:
            refused.before = self._without_trailers(data, start)
            raise
        if self._is_between:
            return self._without_trailers(data, start), data[start:]
        self._held = data[start:]
        return self._without_trailers(data, start), b""

    def _expect(self, step: Step, *, is_between: bool = False) -> None:
        """Read what follows by `step`, which returns where it ended, or -1 for too few bytes."""
        # No method of this object: it would refer to itself, and wait for a collection at the end.
        self._step = step
        self._is_between = is_between

    def _end_request(self) -> None:
        """Expect the next head; after a request that asks to leave HTTP, whatever comes."""
        if self._is_last:
            self._expect(lambda _, data, start: len(data))
        else:
            self._expect(Framing._read_head, is_between=True)

    def _is_one_head(self, data: bytes) -> bool:
        """Whether `data` is one complete head and nothing else, as most requests are.

        Anything else goes through the steps, so that how bytes arrive decides nothing.
        """
        end = data.find(b"\r\n\r\n") + 4
        if end != len(data) or end > MAX_HEAD or _HEAD.fullmatch(data) is None:
            return False
        self._begin(data)
        return True

    def _read_head(self, data: bytes, start: int) -> int:
        """Return the end of the head that begins at `start`, or -1 when it is incomplete."""
        if data.startswith(b"\r\n", start):
            self._lines += 1
            if self._lines > _MAX_EMPTY_LINES:
                raise FramingRefused("Only empty lines are sent.")
            self._scanned = 0
            return start + 2  # an empty line that some clients send after a body
        end = self._find_end(data, start, MAX_HEAD)
        if end < 0:
            return -1
        if _HEAD.fullmatch(data, start, end) is None:
            raise FramingRefused("The request's head is malformed.")
        self._begin(data[start:end])
        return end

    def _find_end(self, data: bytes, start: int, longest: int) -> int:
        """Return the end of the empty line that closes a section, or -1 when it is not there yet.

        Bytes may come one by one, so what was searched once is not searched again.
        """
        position = data.find(b"\r\n\r\n", start + max(0, self._scanned - 3))
        end = position + 4 if position >= 0 else -1
        size = (end if end >= 0 else len(data)) - start
        if size > longest:
            raise FramingRefused("The headers or trailers are too large.")
        if end < 0:
            self._check_partial(data, start)
        self._scanned = size if end < 0 else 0
        return end

    def _check_partial(self, data: bytes, start: int) -> None:
        """Refuse bare line feeds and NUL at once: their sender waits for a response."""
        position = data.find(b"\n", start + self._scanned)
        while position >= 0:
            if position == start or data[position - 1] != 0x0D:
                raise FramingRefused("A line ends in a bare line feed.")
            position = data.find(b"\n", position + 1)
        if data.find(b"\x00", start + self._scanned) >= 0:
            raise FramingRefused("The request's head holds a NUL.")

    def _begin(self, head: bytes) -> None:
        """Decide how the body of a request is framed (RFC 9112, 6.3)."""
        lower = head.lower()
        if b"\r\nhost:" not in lower and lower.endswith(b" http/1.1", 0, lower.index(b"\r\n")):
            raise FramingRefused("The Host header is missing.")
        self._lines = 0
        has_body = b"\r\ncontent-length:" in lower or b"\r\ntransfer-encoding:" in lower
        if b"\r\nupgrade:" in lower or lower.startswith(b"connect "):
            # Clients that would rather speak HTTP/2 ask for it beside bodies, too.
            if has_body and _TUNNEL.search(lower) is not None:
                raise FramingRefused("A request that asks to leave HTTP has a body.")
            self._is_last = True
        if not has_body:
            self._end_request()
        elif b"\r\ntransfer-encoding:" in lower:
            self._begin_chunked(lower)
        else:
            self._begin_length(lower)

    def _begin_chunked(self, lower: bytes) -> None:
        codings = _CODING.findall(lower)
        if b"\r\ncontent-length:" in lower:
            raise FramingRefused("Content-Length and Transfer-Encoding are both sent.")
        if lower.endswith(b" http/1.0", 0, lower.index(b"\r\n")):
            raise FramingRefused("Transfer-Encoding is sent with HTTP/1.0.")
        if len(codings) != 1 or codings[0].strip(_BLANKS) != b"chunked":
            raise FramingRefused("The transfer coding is not known.")
        self._expect(Framing._read_chunk)

    def _begin_length(self, lower: bytes) -> None:
        lengths = _LENGTH.findall(lower)
        if len(lengths) != 1:
            raise FramingRefused("Content-Length is sent more than once.")
        length = lengths[0].strip(_BLANKS)
        if _DIGITS.fullmatch(length) is None:
            raise FramingRefused("Content-Length is not a number.")
        self._left = int(length)
        if self._left:
            self._expect(Framing._read_length)
        else:
            self._end_request()

    def _read_length(self, data: bytes, start: int) -> int:
        end = min(len(data), start + self._left)
        self._left -= end - start
        if not self._left:
            self._end_request()
        return end

    def _read_chunk(self, data: bytes, start: int) -> int:
        """Return the end of a chunk's size line (RFC 9112, 7.1)."""
        end = data.find(b"\n", start) + 1
        if (end or len(data)) - start > _MAX_LINE:
            raise FramingRefused("A chunk's size line is too long.")
        if not end:
            return -1
        if data[end - 2 : end] != b"\r\n":
            raise FramingRefused("A line ends in a bare line feed.")
        match = _CHUNK.fullmatch(data, start, end - 2)
        if match is None:
            raise FramingRefused("A chunk's size is malformed.")
        self._left = int(match[1], 16)
        self._expect(Framing._read_chunk_data if self._left else Framing._read_trailers)
        return end

    def _read_chunk_data(self, data: bytes, start: int) -> int:
        end = min(len(data), start + self._left)
        self._left -= end - start
        if not self._left:
            self._expect(Framing._read_chunk_end)
        return end

    def _read_chunk_end(self, data: bytes, start: int) -> int:
        end = start + 2
        if not b"\r\n".startswith(data[start:end]):
            raise FramingRefused("A chunk is longer than its size.")
        if len(data) < end:
            return -1
        self._expect(Framing._read_chunk)
        return end

    def _read_trailers(self, data: bytes, start: int) -> int:
        """Return the end of the trailers, which are `\\r\\n` alone when there are none."""
        if data.startswith(b"\r\n", start):
            end = start + 2
            self._scanned = 0
        else:
            end = self._find_end(data, start, _MAX_TRAILERS)
        if end < 0:
            return -1
        if _TRAILERS.fullmatch(data, start, end) is None:
            raise FramingRefused("The trailers are malformed.")
        if end - start > 2:
            self._trailers.append((start, end))
        self._end_request()
        return end
