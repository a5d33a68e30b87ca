"""The body of a request on its way to an upstream: bounded, and kept while it is small."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from stoa_proxy.core.body_limit import refuse_large_body
from stoa_proxy.core.problems import Respond
from stoa_proxy.engines.complete.request_body import REPLAY_LIMIT

LAST_CHUNK = b"0\r\n\r\n"
# From so many bytes on a copy costs more than to name several parts in one system call.
_LARGE: Final = 16 * 1024


class Sink(Protocol):
    """Where a body goes: an upstream's connection."""

    def write(self, data: bytes, /) -> None:
        """Send bytes."""
        ...

    def writelines(self, parts: Iterable[bytes], /) -> None:
        """Send bytes one behind the other."""
        ...


class Upload:
    """A body of at most `maximum` bytes (None: any), `feed` as it comes.

    What came is kept until it is sent, and a body that is not larger than 64 KiB until the end, so
    that it can be sent a second time. Once `refusal` is set, the request cannot be carried out.
    """

    __slots__ = (
        "_is_chunked",
        "_kept",
        "_sink",
        "_was_sent",
        "is_whole",
        "maximum",
        "refusal",
        "size",
    )

    def __init__(self) -> None:
        self.maximum: int | None = None
        self._kept: list[bytes] | None = []
        self._sink: Sink | None = None
        self._is_chunked = False
        self._was_sent = False
        self.size = 0
        self.is_whole = False
        self.refusal: Respond | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether the body can be sent (again) from its beginning."""
        return self._kept is not None and self.refusal is None

    @property
    def waits(self) -> bool:
        """Whether so much waits to be sent that no more should be read."""
        return self._sink is None and self.size > REPLAY_LIMIT

    def feed(self, content: bytes) -> None:
        """Take a part of the body, and send it where the body is being sent."""
        if not content:
            return  # a chunk without content would end the body
        self.size += len(content)
        if self.maximum is not None and self.size > self.maximum:
            # Nothing of this part is passed on, so no upstream takes a part for the whole.
            self.refusal = refuse_large_body(self.maximum)
            return
        if self._kept is not None:
            self._kept.append(content)
        self._forget_large()
        if self._sink is not None:
            write_content(self._sink, content, is_chunked=self._is_chunked)

    def end(self) -> None:
        """Note that the body is whole."""
        self.is_whole = True
        if self._sink is not None and self._is_chunked:
            self._sink.write(LAST_CHUNK)

    def check(self, maximum: int | None) -> None:
        """Bound the body by `maximum` bytes, also what came of it already."""
        self.maximum = maximum
        if maximum is not None and self.size > maximum and self.refusal is None:
            self.refusal = refuse_large_body(maximum)

    def send_to(self, sink: Sink, head: bytes, *, is_chunked: bool) -> None:
        """Send `head`, what came and what comes to `sink`. Only while it is repeatable."""
        assert self._kept is not None, "what was not kept cannot be sent"
        self._sink, self._is_chunked, self._was_sent = sink, is_chunked, True
        parts = [head, *(map(encode_chunk, self._kept) if is_chunked else self._kept)]
        if self.is_whole and is_chunked:
            parts.append(LAST_CHUNK)
        sink.write(b"".join(parts))
        self._forget_large()

    def stop_sending(self) -> None:
        """Send nothing more to where it was being sent."""
        self._sink = None

    def content(self, limit: int) -> tuple[bytes, bool]:
        """Return the first `limit` bytes that came, and whether there are more or they are lost."""
        if self._kept is None:
            return b"", True
        content = b"".join(self._kept)
        return content[:limit], len(content) > limit or not self.is_whole

    def _forget_large(self) -> None:
        if self._was_sent and self.size > REPLAY_LIMIT:
            self._kept = None


def encode_chunk(content: bytes) -> bytes:
    """Return a chunk of a body, which must not be empty (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def write_content(sink: Sink, content: bytes, *, is_chunked: bool) -> None:
    """Send a part of a body, which must not be empty, without a copy where it is large."""
    if not is_chunked:
        sink.write(content)
    elif len(content) < _LARGE:
        sink.write(encode_chunk(content))
    else:
        sink.writelines((b"%x\r\n" % len(content), content, b"\r\n"))
