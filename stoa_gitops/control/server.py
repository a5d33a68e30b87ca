"""The HTTP server of the control API: bounds the time and the number of connections.

aiohttp waits without end for the first head of a connection, for a slow body and for a client that
does not read its response. So each connection carries one timer that is always set: for the head,
for the work, for reading the response. When it fires, the connection is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from stoa_gitops.control.admission import Shares
from stoa_gitops.control.problems import Handler, problem

log = logging.getLogger(__name__)
_SILENT = logging.getLogger("stoa_gitops.control.requests")
_SILENT.disabled = True

HEAD_SECONDS: Final = 10.0
"""Until the first request head has arrived: a slow client holds one connection of the bound."""

RESPONSE_SECONDS: Final = 30.0
"""Until a response is read and the next head has arrived."""

KEEP_ALIVE_SECONDS: Final = 15.0
"""How long an idle connection stays open."""

LINGER_SECONDS: Final = 1.0
"""For the rest of a body that nobody reads, so that its sender sees the response."""

BACKLOG: Final = 2_048
"""Connections that the kernel holds for us: with 128, some of a thousand gateways that come within
a second wait for their SYN to be sent again. Linux takes 4,096 at most by default (somaxconn)."""

ACCEPTED_AT_ONCE: Final = 64
"""Connections that are accepted in one turn of the event loop; requests have theirs in between."""

WORK_SECONDS: Final = 20.0
"""Bound of a handler, reading the body included, unless its route has another."""


class ControlProtocol(web.RequestHandler):
    """One connection; `is_spare` while it is beyond a bound of its `shares`."""

    # As aiohttp's own: a dict for each of five thousand connections is a megabyte.
    __slots__ = (
        "_clock", "_deadline", "_is_trusted", "_shares", "_timer", "client_address", "is_spare",
        "is_working",
    )  # fmt: skip

    def __init__(
        self, server: web.Server, shares: Shares, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=_SILENT,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
            max_line_size=8_190,  # aiohttp's defaults, fixed: an upgrade must not change them
            max_field_size=8_190,
            # A webhook's signature is over the bytes as sent; and a body that claims to be
            # compressed and is not would be an unhandled error in aiohttp, for anybody to cause.
            auto_decompress=False,
        )
        self._shares = shares
        self._clock = loop
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.client_address = "unknown"
        self.is_spare = False
        self.is_working = False
        self._is_trusted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer, and count the connection, which may drop it."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        self.client_address = address[0] if address else "unknown"
        self.allow(HEAD_SECONDS)
        self._shares.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._shares.remove(self)
        transport: Any = self.transport
        super().connection_lost(exc)
        if hasattr(transport, "_read_ready_cb"):
            # asyncio's transport keeps a bound method of itself, so that each closed connection
            # waits for a full collection: 2 MiB for a thousand gateways. Nobody calls it any more.
            transport._read_ready_cb = None  # noqa: SLF001

    def data_received(self, data: bytes) -> None:
        """Pass on what a client sends."""
        self._shares.touch(self)
        super().data_received(data)

    @property
    def is_idle(self) -> bool:
        """Whether no request is worked on."""
        return not self.is_working

    @property
    def has_unsent(self) -> bool:
        """Whether a response waits for the client to read it."""
        transport = self.transport
        return isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size() > 0

    def drop(self) -> None:
        """Close at once, for another connection."""
        self._shares.remove(self)
        self.abort_connection()

    def trust(self) -> None:
        """Count this connection in the bound of all only."""
        if not self._is_trusted:
            self._is_trusted = True
            self._shares.exempt(self)

    def allow(self, seconds: float) -> None:
        """Restart the timer with these seconds."""
        deadline = self._deadline = self._clock.time() + seconds
        # One that is due before only looks again: a cancelled one stays in the loop's list, and
        # each request would leave two or three there.
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._clock.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._clock.time() < self._deadline:
            self._timer = self._clock.call_at(self._deadline, self._look)
        else:
            self.abort_connection()

    def abort_connection(self) -> None:
        """Drop the connection without a response."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to what is no HTTP with a problem; aiohttp's own page would quote the request."""
        log.debug("malformed HTTP request: %s", type(exc).__name__)
        response = problem(
            status,
            "Bad Request" if status == 400 else "Error",
            "the request is no valid HTTP/1.1",
            Server="stoa-gitops",
        )
        response.force_close()
        return response


def limits_time(seconds: Callable[[web.Request], float | None]) -> Any:
    """Return a middleware that bounds handlers: the `seconds` of a request, or WORK_SECONDS."""

    @web.middleware
    async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
        limit = seconds(request) or WORK_SECONDS
        protocol = request.protocol
        if isinstance(protocol, ControlProtocol):
            protocol.is_working = True
            protocol.allow(limit + RESPONSE_SECONDS)
        try:
            async with asyncio.timeout(limit):
                return await handler(request)
        except TimeoutError:
            response = problem(
                503, "Service Unavailable", f"not done within {limit:g} s", Retry_After="5"
            )
            response.force_close()
            return response
        finally:
            if isinstance(protocol, ControlProtocol):
                protocol.is_working = False
                protocol.allow(RESPONSE_SECONDS)

    return bounded


def trust_connection(request: web.Request) -> None:
    """Count the connection of a request in no client's share any more: it proved who it is.

    A thousand gateways may share the one address of a NAT.
    """
    if isinstance(request.protocol, ControlProtocol):
        request.protocol.trust()


class ControlServer:
    """Serves one application on one address; `shares` bound its connections."""

    def __init__(
        self, application: web.Application, shares: Shares, *, drain_seconds: float = 2.0
    ) -> None:
        self._shares = shares
        self._runner = web.AppRunner(application, shutdown_timeout=drain_seconds)
        self._listening: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port; OSError for an address that is taken or not ours."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(
                lambda: ControlProtocol(server, self._shares, loop=loop),
                host,
                port,
                backlog=ACCEPTED_AT_ONCE,  # asyncio uses it for both
            )
        except OSError:
            await self._runner.cleanup()
            raise
        for listening in self._listening.sockets:
            with listening.dup() as same:  # asyncio's own has no `listen`
                same.listen(BACKLOG)
        return int(self._listening.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Accept no more connections, let requests in flight finish within the bound, close."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()
