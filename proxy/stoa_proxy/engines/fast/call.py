"""One call of an upstream on a pooled connection: connect, send, read the response to its end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from stoa_proxy.core.attempts import Attempt
from stoa_proxy.engines.complete.upstream.client import UpstreamClient, connect_failure
from stoa_proxy.engines.complete.upstream.http1 import encode_head
from stoa_proxy.engines.complete.upstream.pool import Pool
from stoa_proxy.engines.fast.response_reader import ResponseHead, ResponseReader
from stoa_proxy.engines.fast.upload import Upload
from stoa_proxy.engines.fast.upstream import FastUpstream, fast_end
from stoa_proxy.errors import UpstreamFailed

if TYPE_CHECKING:
    from stoa_proxy.engines.complete.upstream.connection import UpstreamConnection

_log = logging.getLogger("stoa_proxy.upstream")


class Caller(Protocol):
    """Whose request a call carries."""

    def on_head(self, head: ResponseHead, content: bytes) -> None:
        """Take the head of the response and what came of its body with it."""
        ...

    def on_content(self, content: bytes) -> None:
        """Take more of the body; the call `is_whole` at its end."""
        ...

    def on_failure(self, failure: UpstreamFailed) -> None:
        """Learn that there is no head."""
        ...

    def on_break(self) -> None:
        """Learn that the response broke off behind its head."""
        ...

    def on_error(self, error: Exception) -> None:
        """Learn of an error of ours."""
        ...

    def on_sent(self) -> None:
        """Learn that the request is being sent."""
        ...

    def pause_body(self) -> None:
        """Read nothing more of the request's body for now."""
        ...

    def resume_body(self) -> None:
        """Read it again."""
        ...


class UpstreamCall:
    """A call for `caller`, who hears its outcome once and later its body; `end` it in any case."""

    __slots__ = (
        "_caller", "_client", "_connection", "_end", "_has_head", "_is_ended", "_is_last",
        "_is_paused", "_pool", "_reader", "_task", "_upload",
    )  # fmt: skip

    def __init__(self, caller: Caller, client: UpstreamClient, upload: Upload | None) -> None:
        self._caller = caller
        self._client = client
        self._upload = upload
        self._pool: Pool | None = None
        self._connection: UpstreamConnection | None = None
        self._end: FastUpstream | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_head = self._is_ended = self._is_paused = False

    @property
    def is_whole(self) -> bool:
        """Whether the whole response came."""
        return self._reader.is_whole

    def start(self, attempt: Attempt, now: float) -> None:
        """Send the request, now where a connection is kept; `now` is the event loop's time."""
        self._reader = ResponseReader(attempt.forward.context.head.method)
        pool = self._client.pool
        if pool is None:
            self._fail(UpstreamFailed("unreachable"))
            return
        self._pool = pool
        pool.join()
        if not attempt.pause:
            kept = pool.take(attempt.forward.target.origin, now)
            if kept is not None:
                self._send(attempt, kept)
                return
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._connect_and_send(attempt, pool))

    def take_over(self, method: str, connection: UpstreamConnection, pool: Pool) -> None:
        """Go on with a request that was sent on a connection already."""
        self._reader = ResponseReader(method)
        self._pool, self._connection = pool, connection
        self._end = fast_end(connection)
        self._end.receiver = self

    def end(self) -> None:
        """Keep the connection where the request and the response are whole, close it otherwise."""
        if self._is_ended:
            return
        self._is_ended = True
        if self._task is not None:
            self._task.cancel()
        if self._upload is not None:
            self._upload.stop_sending()
        if self._connection is not None and self._pool is not None:
            assert self._end is not None
            self._end.receiver = None
            if self._is_paused:
                self._end.transport.resume_reading()
            if self._is_reusable():
                self._pool.keep(self._connection)
            else:
                self._connection.close()
        if self._pool is not None:
            self._pool.leave_now()

    def pause(self) -> None:
        """Read nothing more of the response: the client reads slowly."""
        if self._end is not None and not self._is_paused and not self._is_ended:
            self._is_paused = True
            self._end.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._end is not None and self._is_paused and not self._is_ended:
            self._is_paused = False
            self._end.transport.resume_reading()

    def abort(self) -> None:
        """Break the connection off: closed in order, a part could look like the whole."""
        if self._end is not None:
            self._end.transport.abort()
        self.end()

    # What the connection calls (`upstream.Receiver`).

    def receive(self, data: bytes) -> None:
        """Take bytes of the response."""
        if self._has_head:
            self._receive_body(data)
            return
        try:
            found = self._reader.feed_head(data)
        except UpstreamFailed as failure:
            self._fail(failure)
            return
        if found is not None:
            self._has_head = True
            self._is_last = found[0].is_last
            self._caller.on_head(*found)

    def _receive_body(self, data: bytes) -> None:
        try:
            content = self._reader.feed_body(data)
        except UpstreamFailed as failure:
            _log.debug("the body of a response is refused: %s", failure.detail)
            self._break_off()
            return
        if content or self._reader.is_whole:
            self._caller.on_content(content)

    def fail(self, error: Exception) -> None:
        """Pass on an error of ours."""
        self.end()
        self._caller.on_error(error)

    def lose(self, *, in_order: bool) -> None:
        """Learn that the connection has ended; only in order it ends a body without a length."""
        if self._is_ended:
            return
        if not self._has_head:
            lost_by = None if self._connection is None else self._connection.protocol.lost_by
            self._fail(self._reader.failure(lost_by))
        elif not self._reader.is_whole and in_order and self._reader.end():
            self._caller.on_content(b"")
        elif not self._reader.is_whole:
            self._break_off()

    def pause_body(self) -> None:
        """Pass on that the upstream reads slowly."""
        self._caller.pause_body()

    def resume_body(self) -> None:
        """Pass on that it reads again."""
        self._caller.resume_body()

    async def _connect_and_send(self, attempt: Attempt, pool: Pool) -> None:
        try:
            connection = await self._connect(attempt, pool)
            self._task = None
            if self._is_ended:
                connection.close()
            else:
                self._send(attempt, connection)
        except UpstreamFailed as failure:
            self._task = None
            self._fail(failure)
        except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
            self._task = None
            self.fail(error)

    async def _connect(self, attempt: Attempt, pool: Pool) -> UpstreamConnection:
        forward = attempt.forward
        try:
            if attempt.pause:
                await self._client.pause(attempt.pause)
            return await pool.connect(
                forward.target, forward.context.route.tenant_id, forward.connect_timeout
            )
        except Exception as error:
            failure = connect_failure(error)
            if failure is None:
                raise
            _log.debug("no connection to %r: %r", forward.target, error)
            raise failure from error

    def _send(self, attempt: Attempt, connection: UpstreamConnection) -> None:
        forward, upload = attempt.forward, self._upload
        self._connection = connection
        self._end = end = fast_end(connection)
        end.receiver = self
        head, is_chunked = encode_head(
            forward.context.head.method,
            forward.target,
            forward.headers,
            has_body=upload is not None,
        )
        if upload is None:
            end.write(head)
        else:
            upload.send_to(end, head, is_chunked=is_chunked)
            self._caller.on_sent()

    def _is_reusable(self) -> bool:
        reader = self._reader
        return (
            self._has_head
            and reader.is_whole
            and not reader.has_more
            and not self._is_last
            and (self._upload is None or self._upload.is_whole)
        )

    def _fail(self, failure: UpstreamFailed) -> None:
        failure.was_reused = self._connection is not None and self._connection.was_reused
        self.end()
        self._caller.on_failure(failure)

    def _break_off(self) -> None:
        self.end()
        self._caller.on_break()
