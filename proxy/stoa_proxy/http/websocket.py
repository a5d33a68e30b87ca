"""WebSocket (RFC 6455) as far as a tunnel needs it: the handshake, and where messages end.

Frames pass as they are, so subprotocols, extensions, pings and close codes are the two ends' own.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping

GOING_AWAY, PROTOCOL_ERROR, TOO_BIG = 1001, 1002, 1009
# RFC 6455, 4.2.2; the codes above are those of 7.4.1, the opcodes below those of 5.2.
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _CONTROL = 0, 8
_OPCODES = frozenset({0, 1, 2, 8, 9, 10})
# RFC 6455, 5.5: control frames may not be fragmented, and are this long at most.
_MAX_CONTROL = 125


class FrameRefused(Exception):
    """A frame that is not passed on: `code` to close with, `before` the bytes that precede it."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.before = b""


def accepts_handshake(key: str, headers: Mapping[str, str]) -> bool:
    """Whether the headers of a 101 accept the handshake with this `Sec-WebSocket-Key`.

    `headers` must be looked up without regard to case (RFC 6455, 4.1).
    """
    # SHA-1 is what the protocol says; it proves that WebSocket is understood, nothing else.
    raw = key.encode("utf-8", "surrogateescape")
    digest = hashlib.sha1(raw + _MAGIC, usedforsecurity=False).digest()
    options = [option.strip() for option in headers.get("Connection", "").lower().split(",")]
    return (
        "upgrade" in options
        and headers.get("Upgrade", "").lower() == "websocket"
        and headers.get("Sec-WebSocket-Accept", "") == base64.b64encode(digest).decode()
    )


def close_frame(code: int, *, masked: bool) -> bytes:
    """Return a Close with a code, masked as clients must and servers must not (5.3)."""
    payload = code.to_bytes(2, "big")
    if not masked:
        return b"\x88\x02" + payload
    mask = os.urandom(4)
    return b"\x88\x82" + mask + bytes(byte ^ mask[index] for index, byte in enumerate(payload))


class Frames:
    """The frames of one direction: passes bytes and tracks where frames and messages end.

    `masked` is whether this end must mask; `max_message` is in bytes, as they are sent.
    """

    __slots__ = ("_held", "_in_message", "_is_refused", "_left", "_masked", "_max_message", "_size")

    def __init__(self, *, masked: bool, max_message: int) -> None:
        self._masked = masked
        self._max_message = max_message
        self._held = b""
        self._left = 0
        self._size = 0
        self._in_message = False
        self._is_refused = False

    @property
    def is_between(self) -> bool:
        """Whether what was passed on ends at the end of a frame."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """Return the bytes to pass on; none after a refusal.

        Raises FrameRefused, which carries those before the frame.
        """
        if self._is_refused:
            return b""
        data, self._held = self._held + data, b""
        position = 0
        while position < len(data):
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
                continue
            try:
                size = self._read_header(data, position)
            except FrameRefused as refused:
                refused.before = data[:position]
                self._is_refused = True
                raise
            if not size:
                self._held = data[position:]
                return data[:position]
            position += size
        return data

    def _read_header(self, data: bytes, start: int) -> int:
        """Return the size of a frame's header, 0 when it is incomplete (RFC 6455, 5.2)."""
        available = len(data) - start
        if available < 2:
            return 0
        first, second = data[start], data[start + 1]
        if bool(second & 0x80) != self._masked:
            raise FrameRefused(PROTOCOL_ERROR, "a frame is masked by the wrong end")
        length = second & 0x7F
        extended = {126: 2, 127: 8}.get(length, 0)
        size = 2 + extended + (4 if self._masked else 0)
        if available < size:
            return 0
        if extended:
            length = int.from_bytes(data[start + 2 : start + 2 + extended], "big")
        self._check(first & 0x0F, length, is_final=bool(first & 0x80))
        self._left = length
        return size

    def _check(self, opcode: int, length: int, *, is_final: bool) -> None:
        if opcode not in _OPCODES:
            raise FrameRefused(PROTOCOL_ERROR, "a frame has an unknown opcode")
        if opcode >= _CONTROL:
            if length > _MAX_CONTROL or not is_final:
                raise FrameRefused(PROTOCOL_ERROR, "a control frame is too long or fragmented")
            return
        if (opcode == _CONTINUATION) != self._in_message:
            raise FrameRefused(PROTOCOL_ERROR, "a message begins inside another")
        self._size = length if opcode != _CONTINUATION else self._size + length
        if self._size > self._max_message:
            raise FrameRefused(TOO_BIG, "a message is too large")
        self._in_message = not is_final
