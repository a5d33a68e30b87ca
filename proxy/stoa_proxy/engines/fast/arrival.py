"""A client's connection that has no transport: it brings one usual request, or grows.

A transport, its time limits and all that requests of other kinds need cost several times what a
usual request does. A connection that carries one request and ends needs none of it: its bytes are
read from the socket, and the response is written to it. As soon as anything is not usual
the connection becomes a `FastConnection`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from fcntl import ioctl
from termios import FIONREAD
from typing import TYPE_CHECKING

from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.fast.connection import LINGERING_SECONDS, FastConnection
from stoa_proxy.engines.fast.quick_exchange import QuickExchange
from stoa_proxy.engines.fast.response_head import encode_own
from stoa_proxy.engines.fast.upload import Upload
from stoa_proxy.http.heads import RequestHead

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.arrivals import Arrivals
    from stoa_proxy.engines.fast.exchange import Exchange

_log = logging.getLogger("stoa_proxy.engine")
# Of a longer head nothing is remembered.
_READ_BYTES = 8 * 1024
_NOTHING = bytes(4)
LOOK_SECONDS = 0.25
"""How often it is looked at what takes too long."""

# A request that has less time needs a timer of its own.
_LEAST_SECONDS = 4 * LOOK_SECONDS

Queue = dict["Arrival", None]
"""Connections that wait for the same, in the order in which they began to."""


class Arrival:
    """A connection as it comes, until it ends or a `FastConnection` takes it over.

    To its `QuickExchange` it is what a `FastConnection` is, and to `ConnectionShares` one of those
    that it counts. `since` is when it came into its queue, `deadline` the end of the time of its
    request (both by the event loop's time). One that has ended is used again for another client.
    """

    __slots__ = (
        "_arrivals", "_data", "_has_served", "_is_at_work", "_is_done", "_is_growing", "_is_lost",
        "_queue", "_steps", "_unsent", "client_address", "deadline", "engine", "is_closing",
        "is_spare", "is_write_paused", "number", "quick", "since",
    )  # fmt: skip

    ends_at_once = True
    _queue: Queue
    client_address: str
    quick: QuickExchange
    since: float

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self.engine = arrivals.engine
        self.quick = QuickExchange(self, arrivals.engine.lane)
        self.number = -1
        self.deadline = 0.0
        self._data = self._unsent = b""
        self._steps: list[Callable[[], None]] = []
        self._is_at_work = self._is_growing = self._has_served = False
        # Its last response is sent; the client is gone.
        self._is_done = self._is_lost = False
        self.is_closing = self.is_spare = self.is_write_paused = False

    def start(self, number: int, client: str, queue: Queue, now: float) -> None:
        """Be the connection of a file descriptor, which waits for its first request."""
        self.number = number
        self.client_address = client
        self._queue, self.since = queue, now
        queue[self] = None
        self.is_closing = self.is_spare = False
        self._has_served = self._is_done = self._is_lost = False

    def enter(self, queue: Queue, now: float) -> None:
        """Wait for something else."""
        del self._queue[self]
        self._queue, self.since = queue, now
        queue[self] = None

    def finish(self) -> None:
        """Be no connection any more."""
        del self._queue[self]
        self.number = -1

    # What `ConnectionShares` asks.

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        return not self._is_at_work

    @property
    def has_unsent(self) -> bool:
        """Whether a response waits for the client to read it."""
        return bool(self._unsent)

    def drop(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.engine.shares.remove(self)
        self.abort()

    # What comes.

    def read(self) -> None:
        """Take what the client sent, or that it left."""
        try:
            data = os.read(self.number, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.abort()
            return
        is_first = not (self._is_at_work or self._has_served or self.is_spare)
        if not is_first or not self.quick.begin(data):
            self._data = data
            self.grow()
        elif self._is_hurried():
            self.grow()

    def _is_hurried(self) -> bool:
        return self._is_at_work and self.deadline < self.since + _LEAST_SECONDS

    def fail(self, error: Exception) -> None:
        """Answer 500 to an error of ours where no response has begun, and close."""
        _log.error("unexpected error in a request", exc_info=error)
        if self._is_at_work and not self._is_growing:
            response = problem(500, "Internal server error")
            self.write(encode_own(response, "GET", self.engine.date, is_last=True))
        self.abort()

    @property
    def _has_unread(self) -> bool:
        """Whether bytes came that nobody has read."""
        return ioctl(self.number, FIONREAD, _NOTHING) != _NOTHING

    # What the request at work wants.

    def begin_quick(self, quick: QuickExchange, deadline: float, *, is_last: bool) -> None:
        """Let a usual request be at work until `deadline`; `is_last` as it asks for."""
        self._is_at_work, self.deadline = True, deadline
        self.is_closing = is_last
        arrivals = self._arrivals
        self.enter(arrivals.working, arrivals.now)

    def write(self, data: bytes) -> None:
        """Send a response, or what the socket takes of it now."""
        try:
            sent = os.write(self.number, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._is_lost = True
            return
        if sent < len(data):
            self._unsent = data[sent:]

    def end_quick(self) -> None:
        """Close behind a response that is sent, or wait for the next request."""
        self._is_at_work, self._has_served = False, True
        self._is_done = self.is_closing
        if self._is_lost:
            self.close()
        elif self._unsent:
            self.grow()
        elif not self.is_closing:
            self._arrivals.rest(self)
        elif self._has_unread:
            # Closed with bytes that nobody read, it is reset, and the response may be lost.
            self.grow()
        else:
            self.close()

    def send_own(
        self, response: Respond, head: RequestHead, upload: Upload | None, *, is_last: bool
    ) -> None:
        """Send a response of the gateway itself."""
        assert upload is None, "usual requests have no body"
        self.is_closing = is_last = is_last or self.is_closing
        self.write(encode_own(response, head.method, self.engine.date, is_last=is_last))

    def end_exchange(self, *, is_last: bool) -> None:
        """Go on behind a response of the gateway itself."""
        self.is_closing = self.is_closing or is_last
        self.end_quick()

    def carry(self, step: Callable[[], None]) -> None:
        """Do what needs a whole connection as soon as this is one."""
        self._steps.append(step)
        self.grow()

    def replace_exchange(self, exchange: Exchange) -> None:
        """Do nothing: it ends at once, by a refusal or since the client has left."""

    # How it ends.

    def close_when_idle(self) -> None:
        """Close after the request in progress or the one that has come already, or now."""
        self.is_closing = True
        if self._is_at_work or self._is_growing:
            return
        if self._has_unread:
            self.grow()
        else:
            self.close()

    def abort(self) -> None:
        """Close at once and give everything back: the client has left, or has to."""
        if self._is_growing:
            self._is_lost = True  # it ends as soon as it has a transport
            return
        if self._is_at_work:
            self._is_at_work = False
            self.quick.abandon()
        self.close()

    def close(self) -> None:
        """Close it; once more does nothing."""
        if self.number >= 0:
            self.engine.shares.remove(self)
            self._unsent = b""
            self._arrivals.close(self)

    # How it becomes a whole connection.

    def grow(self) -> None:
        """Become a whole connection, which has a timer for its request, too."""
        if self._is_at_work and not self._is_growing:
            self.engine.turn.end()  # what has come of its response is passed on as it is
        if self._is_growing or self.number < 0:
            return
        self._is_growing = True
        if self._is_at_work:
            self.quick.hold()
        accepted = self._arrivals.release(self)
        self.finish()
        begin = self._arrivals.beginnings.begin
        task = begin(accepted, self.client_address, lambda: FastConnection(self.engine, self))
        task.add_done_callback(self._end_growth)

    def move_to(self, connection: FastConnection) -> None:
        """Hand everything over to the connection, which has a transport now."""
        if not self._is_growing:
            connection.transport.abort()  # it was given up meanwhile
            return
        self._is_growing = False
        engine = self.engine
        engine.shares.replace(self, connection, has_spoken=self._is_at_work or self._has_served)
        self._arrivals.forget(self)
        connection.is_closing = self.is_closing
        connection.has_served = self._has_served
        self.quick.move_to(connection)
        if self._is_at_work:
            connection.take_over(self.quick, self.deadline, self._data)
            self._go_on(connection)
        elif self._unsent:
            connection.transport.write(self._unsent)
        if self._is_lost:
            connection.transport.abort()
        elif not self._is_at_work:
            seconds = engine.keepalive_seconds if self._has_served else engine.head_seconds
            connection.timer.set(self.since + seconds)
            if self._is_done:
                connection.close_slowly()
                return
            if self.is_closing:  # behind the request that has come: it is read now or never
                connection.wait(LINGERING_SECONDS)
            if self._data:
                connection.data_received(self._data)

    def _go_on(self, connection: FastConnection) -> None:
        try:
            for step in () if self._is_lost else self._steps:
                step()
        except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
            connection.fail(error)

    def _end_growth(self, task: asyncio.Task[None]) -> None:
        """Give everything back where there is no transport: the client is gone, or we stop."""
        if not self._is_growing:
            return
        self._is_growing = False
        if self._is_at_work:
            self._is_at_work = False
            self.quick.abandon()
        self.engine.shares.remove(self)
        self._arrivals.forget(self)
