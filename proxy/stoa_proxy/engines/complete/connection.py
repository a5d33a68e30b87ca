"""Connections of the listener: strictly framed, and neither silent nor stuck for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestPayloadError
from multidict import CIMultiDict

from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.complete.slow_clients import SlowClientGuard
from stoa_proxy.errors import FramingRefused
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog
from stoa_proxy.http.framing import Framing

_log = logging.getLogger("stoa_proxy.engine")
# No request of any version begins like this, so whatever parser is at work refuses it.
_UNREADABLE = b"\x00\r\n\r\n"
_READ_BYTES = 32 * 1024
# What is ended has this long to be gone.
_ENDING_SECONDS = 1.0
# Beyond the bound, for whoever asks for health or administers while all others are at work.
_SPARE = 4


class Connection(web.RequestHandler):
    """One client connection.

    Closed when the first head is not whole after `server.head_seconds`, and when the client
    takes next to nothing of an answer for `server.write_seconds`.
    """

    __slots__ = (
        "_framing",
        "_head_timer",
        "_refusal",
        "_server",
        "_taking",
        "_wire",
        "client_address",
        "is_spare",
    )  # fmt: skip

    _server: ConnectionServer
    client_address: str
    is_spare: bool

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        self.client_address = address[0] if address else "unknown"
        self._framing = Framing()
        self._refusal: str | None = None
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._server.head_seconds, self._close_if_silent)
        assert isinstance(transport, asyncio.Transport)
        if hasattr(transport, "max_size"):  # of asyncio's own loop, though no page says so
            # What one client sends is worked off between two turns of others, so it must not be much.
            transport.max_size = _READ_BYTES
        self._wire = transport
        self._taking = SlowClientGuard(transport, self._server.write_seconds)
        self.is_spare = False
        self._server.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting."""
        self._head_timer.cancel()
        self._taking.end()
        self._server.forget(self)
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is at work here: none came yet, the last is answered, or it ends."""
        waiter = self._waiter
        is_waiting = waiter is not None and not waiter.done()
        return is_waiting or self._request_count == 0 or self._wire.is_closing()

    def drop(self) -> None:
        """End at once, whatever is still to be sent."""
        self._server.forget(self)
        self._wire.abort()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109
        """Let a request at work finish for `timeout` seconds, then end it.

        The library would wait for as long once more before it ends anything. It must not give up
        in the turn in which work is ended: it takes what ends then for a fault.
        """
        if timeout is None:
            await super().shutdown(timeout)
            return
        ending = asyncio.get_running_loop().call_later(timeout, self._end_work)
        try:
            await super().shutdown(timeout + _ENDING_SECONDS)
        finally:
            ending.cancel()

    def _end_work(self) -> None:
        if self._task_handler is not None:
            self._task_handler.cancel()

    def data_received(self, data: bytes) -> None:
        """Hand the parser what is framed beyond doubt; after a doubt, nothing more."""
        if not data:
            super().data_received(data)  # the parser is told to go on with what it has
            return
        if self._refusal is not None:
            return
        try:
            good = self._framing.feed(data)
        except FramingRefused as refused:
            self._refuse(refused)
            return
        if good:
            self._server.hear(self)
            super().data_received(good)

    def pause_writing(self) -> None:
        """The client is slower than we are: give it a while."""
        super().pause_writing()
        self._taking.begin()

    def resume_writing(self) -> None:
        """The client has taken what was waiting."""
        self._taking.end()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem; a traceback in the log only where the fault is ours."""
        if status >= 500 and not isinstance(exc, ConnectionError):
            _log.error("a request failed", exc_info=exc)
        else:
            _log.debug("a request ended: %r", exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun and cannot be replaced")
        if status >= 500:
            response = make_response(problem(status, "Internal server error"))
        else:
            # Whatever could not be read stands for a request of HTTP/1.0 here.
            request._version = HttpVersion11  # noqa: SLF001
            detail = self._refusal or _words(exc)
            response = make_response(problem(status, "Bad request", detail))
        response.force_close()
        return response

    def _refuse(self, refused: FramingRefused) -> None:
        """UpstreamResponse 400 in turn, behind the requests before, and close."""
        _log.debug("a request is refused: %s", refused)
        self._refusal = str(refused)
        was_inside = self._framing.is_inside_body
        if refused.before:
            super().data_received(refused.before)
        if not was_inside:
            super().data_received(_UNREADABLE)
            return
        # Its head was good and is at work already: whoever reads the body learns of it.
        self._lingering_time = 0.0
        payload = self._messages[-1][1] if self._messages else None
        if payload is None and self._current_request is not None:
            payload = self._current_request.content
        if payload is not None and not payload.is_eof():
            error = RequestPayloadError(str(refused))
            error.__cause__ = refused
            payload.set_exception(error)
        self.close()

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()


class ConnectionServer(web.Server):
    """Makes a Connection for every client. Seconds as Connection says.

    Of more than `max_connections` the one that is idle longest ends. When all are at work, a few
    more are `is_spare`: good for nothing but the gateway's own paths while `is_full`.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        head_seconds: float,
        write_seconds: float,
        max_connections: int,
        clock: Clock,
        **kwargs: Any,
    ) -> None:
        super().__init__(handler, **kwargs)
        self.head_seconds = head_seconds
        self.write_seconds = write_seconds
        self._max_connections = max_connections
        self._seldom = ThrottledLog(_log, clock)
        self._heard: dict[Connection, None] = {}  # who was silent longest comes first

    def __call__(self) -> Connection:
        """A new connection's protocol."""
        connection = Connection(self, loop=self._loop, **self._kwargs)
        connection._server = self  # noqa: SLF001
        return connection

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than the bound."""
        return len(self._heard) > self._max_connections

    def admit(self, new: Connection) -> None:
        """Count a new connection, and see to the bound."""
        self._heard[new] = None
        if not self.is_full:
            return
        self._seldom.warning(
            "connections are at their bound of %d: idle ones are closed for new ones",
            self._max_connections,
        )
        idle = self._find_idle(new)
        if idle is not None:
            idle.drop()
            return
        new.is_spare = True
        if len(self._heard) > self._max_connections + _SPARE:
            oldest_spare = self._find_idle(new, is_spare=True)
            (oldest_spare or new).drop()

    def hear(self, connection: Connection) -> None:
        """Note that a connection's client spoke."""
        if connection in self._heard:
            del self._heard[connection]
            self._heard[connection] = None

    def forget(self, connection: Connection) -> None:
        """Count a connection no more."""
        self._heard.pop(connection, None)

    def relieve(self) -> None:
        """Make room by ending an idle connection, where there is one."""
        idle = self._find_idle()
        if idle is not None:
            idle.drop()

    def _find_idle(
        self, new: Connection | None = None, *, is_spare: bool = False
    ) -> Connection | None:
        """The one that is idle longest, other than `new`."""
        for one in self._heard:
            if one is not new and one.is_spare == is_spare and one.is_idle:
                return one
        return None


def _words(error: BaseException | None) -> str:
    """What the parser refused, without what was sent."""
    if isinstance(error, LineTooLong):
        return "A line of the request's head is too long."
    if "Too many headers" in getattr(error, "message", ""):
        return "The request has too many headers."
    return "The request is malformed."


def make_response(answer: Respond) -> web.Response:
    """An answer of our own as aiohttp sends it."""
    response = web.Response(
        status=answer.status, headers=CIMultiDict(answer.headers), body=answer.body or None
    )
    response.headers.setdefault("Server", "stoa-gateway")
    return response


def end_with_connection(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Close behind an answer in pieces where nothing else says that it is whole (HTTP/1.0)."""
    if request.version < HttpVersion11 and "Content-Length" not in response.headers:
        response.force_close()


async def send_parts(
    request: web.BaseRequest, answer: Respond, rest: Iterable[bytes]
) -> web.StreamResponse:
    """Send an answer of our own of which `rest` is made meanwhile; others have their turn between pieces."""
    response = web.StreamResponse(status=answer.status, headers=CIMultiDict(answer.headers))
    response.headers.setdefault("Server", "stoa-gateway")
    end_with_connection(request, response)
    await response.prepare(request)
    if request.method != "HEAD":
        await response.write(answer.body)
        for piece in rest:
            await asyncio.sleep(0)
            await response.write(piece)  # waits for a caller that reads slowly
    await response.write_eof()
    return response
