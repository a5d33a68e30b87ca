"""Client connections of the listener: strictly framed, and bounded in number and in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestPayloadError

from stoa_proxy.core.problems import problem
from stoa_proxy.engines.complete import aiohttp_private
from stoa_proxy.engines.complete.responses import make_response
from stoa_proxy.engines.complete.slow_clients import SlowClientGuard
from stoa_proxy.errors import FramingRefused
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.connection_shares import ConnectionShares, Held, ShareBounds
from stoa_proxy.foundation.transports import release
from stoa_proxy.http.framing import Framing

_log = logging.getLogger("stoa_proxy.engine")
# No request of any version begins with NUL, so whatever parser is at work refuses it.
_UNREADABLE = b"\x00\r\n\r\n"
# What one client sends is worked off between two turns of others: an eighth of asyncio's 256 KiB.
_READ_BYTES = 32 * 1024
# How long a cancelled request has to end before aiohttp takes it for stuck.
_ENDING_SECONDS = 1.0


class Connection(web.RequestHandler):
    """One client connection.

    Closed when the first head is not complete after `server.head_seconds`, and when the client
    takes next to nothing of a response for `server.write_seconds`. `client_address` is the address
    of its other end, `is_spare` whether it is beyond the bound of connections, `is_ending` whether
    its last response is given and only the rest of a body that nobody reads is waited for;
    `is_forwarding` is whether its request is an upstream's matter, `has_ended` whether the client
    sends nothing more and gets only what the gateway answers itself (docs/adr/0049).
    """

    # Each connection is there for as long as its client wishes: no `__dict__` for 10,000 of them.
    __slots__ = (
        "_client_transport", "_framing", "_head_timer", "_refusal", "_server", "_slow_client_guard",
        "announced", "client_address", "has_ended", "is_ending", "is_forwarding", "is_spare",
        "predecessor",
    )  # fmt: skip

    _server: ConnectionServer
    announced: str | None
    """The client's address where a load balancer says it (`http.proxy_protocol`)."""

    client_address: str
    has_ended: bool
    is_ending: bool
    is_forwarding: bool
    is_spare: bool
    predecessor: Held | None
    """The protocol that has the connection until this one takes it over; None for a new one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        self.client_address = self.announced or (address[0] if address else "unknown")
        self._framing = Framing()
        self._refusal: str | None = None
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._server.head_seconds, self._close_if_silent)
        # uvloop's is one, too, but does not derive from it.
        transport = cast("asyncio.Transport", transport)
        if hasattr(transport, "max_size"):  # of asyncio's own loop, though undocumented
            transport.max_size = _READ_BYTES
        self._client_transport = transport
        self._slow_client_guard = SlowClientGuard(transport, self._server.write_seconds)
        self.has_ended = self.is_forwarding = False
        self.is_ending = False
        self.is_spare = False
        if self.predecessor is None:
            self._server.shares.admit(self)
        else:
            self._server.shares.replace(self.predecessor, self)
            self.predecessor = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop all timers and leave the server's count."""
        self._head_timer.cancel()
        self._slow_client_guard.stop()
        self._server.shares.remove(self)
        super().connection_lost(exc)
        release(self._client_transport)

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress: none came yet, the last is answered, or it closes."""
        return (
            aiohttp_private.is_waiting_for_request(self)
            or self.is_ending
            or not aiohttp_private.has_begun_request(self)
            or self._client_transport.is_closing()
        )

    @property
    def has_unsent(self) -> bool:
        """Whether a response waits for the client to read it."""
        return self._client_transport.get_write_buffer_size() > 0

    def drop(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._server.shares.remove(self)
        self._client_transport.abort()

    def close_now(self) -> None:
        """Close behind what is sent, with a request in progress."""
        self._client_transport.close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - overridden
        """Let a request in progress finish for `timeout` seconds, then cancel it.

        aiohttp would wait for as long once more before it cancels anything. It must not give up
        in the turn in which the request is cancelled: it logs what ends then as an error.
        """
        if timeout is None:
            await super().shutdown(timeout)
            return
        ending = asyncio.get_running_loop().call_later(
            timeout, aiohttp_private.cancel_request, self
        )
        try:
            await super().shutdown(timeout + _ENDING_SECONDS)
        finally:
            ending.cancel()

    def data_received(self, data: bytes) -> None:
        """Pass on to the parser what is framed beyond doubt; after a doubt, nothing more."""
        if not data:
            super().data_received(data)  # aiohttp's way to let the parser go on with what it has
            return
        if self._refusal is not None:
            return
        try:
            framed = self._framing.feed(data)
        except FramingRefused as refused:
            self._refuse(refused)
            return
        if framed:
            self._server.shares.touch(self)
            super().data_received(framed)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp leaves it to the transport
        """Stay open, which is returned, for what the gateway answers itself.

        Anything else has ended with the client: a request that an upstream has, one that is not
        whole. Behind TLS no connection can be half open.
        """
        is_whole = self._framing.is_idle or self._refusal is not None
        is_plain = self._client_transport.get_extra_info("sslcontext") is None
        self.has_ended = is_whole and is_plain and not (self.is_idle or self.is_forwarding)
        return self.has_ended

    def pause_writing(self) -> None:
        """Watch a client that reads more slowly than we write."""
        super().pause_writing()
        self._slow_client_guard.start()

    def resume_writing(self) -> None:
        """Watch no more: the client has taken what was waiting."""
        self._slow_client_guard.stop()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return a problem; log a traceback only for an internal error."""
        if status >= 500 and not isinstance(exc, ConnectionError):
            _log.error("unexpected error in a request", exc_info=exc)
        else:
            _log.debug("a request ended: %r", exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun and cannot be replaced")
        if status >= 500:
            response = make_response(problem(status, "Internal server error"))
        else:
            # aiohttp makes a request of HTTP/1.0 of whatever could not be parsed.
            aiohttp_private.set_version(request, HttpVersion11)
            detail = self._refusal or _parser_message(exc)
            response = make_response(problem(status, "Bad request", detail))
        response.force_close()
        return response

    def _refuse(self, refused: FramingRefused) -> None:
        """Answer 400 in turn, behind the requests before, and close."""
        _log.debug("a request is refused: %s", refused)
        self._refusal = str(refused)
        was_inside = self._framing.is_inside_body
        if refused.before:
            super().data_received(refused.before)
        if not was_inside:
            super().data_received(_UNREADABLE)
            return
        # Its head was good and is being handled already: whoever reads the body learns of it.
        body = aiohttp_private.find_request_body(self)
        if body is not None and not body.is_eof():
            error = RequestPayloadError(str(refused))
            error.__cause__ = refused
            body.set_exception(error)
        aiohttp_private.close_without_lingering(self)

    def _close_if_silent(self) -> None:
        if not aiohttp_private.has_begun_request(self):
            self.force_close()


class ConnectionServer(aiohttp_private.HandlerFactory):
    """Makes a Connection for every client and counts it in `shares`. Seconds as Connection says."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        head_seconds: float,
        write_seconds: float,
        bounds: ShareBounds,
        clock: Clock,
        **kwargs: Any,
    ) -> None:
        super().__init__(handler, **kwargs)
        self.head_seconds = head_seconds
        self.write_seconds = write_seconds
        self.shares: ConnectionShares[Held] = ConnectionShares(bounds, _log, clock)

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        connection: Connection = self.make_handler(Connection)
        connection._server = self  # noqa: SLF001 - aiohttp's __init__ has no room for it
        connection.predecessor = connection.announced = None
        return connection


def _parser_message(error: BaseException | None) -> str:
    """Return what the parser refused, without repeating what was sent."""
    if isinstance(error, LineTooLong):
        return "A line of the request's head is too long."
    if "Too many headers" in getattr(error, "message", ""):
        return "The request has too many headers."
    return "The request is malformed."
