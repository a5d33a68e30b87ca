"""The body of a request: streamed, bounded, and kept while it is small."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from stoa_proxy.core.body_limit import refuse_large_body
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.deadlines import TimeLimits
from stoa_proxy.errors import FramingRefused

# Kept for a fallback. For each request in flight, so it must be little.
REPLAY_LIMIT = 64 * 1024
_MALFORMED = "The request's body is malformed."
# In the time that a client has; who sends less is not slow but holds a connection.
LEAST_SENT = 16 * 1024
TIMED_OUT = problem(408, "Request timeout", "The request's body did not come in time.")


class ByteStream(Protocol):
    """The source that a body is read from."""

    async def readany(self) -> bytes:
        """Return the next bytes; none at the end."""
        ...

    def is_eof(self) -> bool:
        """Whether all of it is here."""
        ...


class UploadPace:
    """How much of a body a client must send while it is waited for: 16 KiB in `seconds`.

    What a slow upstream takes its time for counts for nothing, nor what follows on a response that
    has begun (`is_over`): such an upload may be a stream that lasts.
    """

    __slots__ = ("_limits", "_now", "_received", "_seconds", "_waited", "is_over")

    def __init__(
        self, seconds: float, limits: TimeLimits, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._limits = limits
        self._now = now
        self._waited = 0.0
        self._received = 0
        self.is_over = False

    async def read(self, stream: ByteStream) -> bytes:
        """Return the next bytes of a body. Raises TimeoutError."""
        while True:
            began = self._now()
            try:
                with self._limits.within(self._seconds):
                    chunk = await stream.readany()
            except TimeoutError:
                if self.is_over:
                    continue
                raise
            self._note(self._now() - began, len(chunk))
            return chunk

    def _note(self, waited: float, size: int) -> None:
        self._waited += waited
        self._received += size
        if self._received >= LEAST_SENT:
            self._waited, self._received = 0.0, 0
        elif self._waited > self._seconds and size and not self.is_over:
            raise TimeoutError


class BodyLost(Exception):
    """The body was sent once, was too large to be kept, and is needed again."""


class BodyFaulty(Exception):
    """The body is malformed or too large; `refusal` is the response for the client."""

    def __init__(self, refusal: Respond) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


class RequestBody:
    """Streams a body of at most `maximum` bytes (None: any), sent at a `pace` (None: any).

    The first `keep` bytes are kept, so that a body that is not larger can be sent a second time.
    Once `refusal` is set, the request cannot be carried out.
    """

    def __init__(
        self,
        stream: ByteStream,
        keep: int = REPLAY_LIMIT,
        maximum: int | None = None,
        pace: UploadPace | None = None,
    ) -> None:
        self._stream = stream
        self._pace = pace
        self._keep = keep
        self._maximum = maximum
        self._kept: list[bytes] = []
        self._size = 0
        self.refusal: Respond | None = None

    def end_pace(self) -> None:
        """Let the rest come as it comes: the response has begun."""
        if self._pace is not None:
            self._pace.is_over = True

    @property
    def is_repeatable(self) -> bool:
        """Whether the body can be sent (again) from its beginning."""
        return self._size <= self._keep and self.refusal is None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in parts. Raises BodyLost, BodyFaulty."""
        if not self.is_repeatable:
            raise BodyLost
        for chunk in tuple(self._kept):
            yield chunk
        while chunk := await self._read():
            self._keep_chunk(chunk)
            yield chunk

    async def read(self, limit: int) -> tuple[bytes, bool]:
        """Return the first `limit` bytes, and whether there are more.

        Raises BodyLost, BodyFaulty.
        """
        content = bytearray()
        async for chunk in self:
            content += chunk
            if len(content) > limit:
                return bytes(content[:limit]), True
        return bytes(content), False

    async def _read(self) -> bytes:
        stream, pace = self._stream, self._pace
        try:
            if pace is None or stream.is_eof():  # the usual body came with its head
                chunk = await stream.readany()
            else:
                chunk = await pace.read(stream)
        except TimeoutError as error:
            self.refusal = TIMED_OUT
            raise BodyFaulty(self.refusal) from error
        except Exception as error:
            # aiohttp raises what its parser raised; `Connection` sets the framing's reason.
            cause = error.__cause__
            message = str(cause) if isinstance(cause, FramingRefused) else _MALFORMED
            self.refusal = problem(400, "Bad request", message)
            raise BodyFaulty(self.refusal) from error
        if self._maximum is not None and self._size + len(chunk) > self._maximum:
            # Nothing of this chunk is passed on, so no upstream takes a part for the whole.
            self.refusal = refuse_large_body(self._maximum)
            raise BodyFaulty(self.refusal)
        return chunk

    def _keep_chunk(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self.is_repeatable:
            self._kept.append(chunk)
        else:
            self._kept.clear()
