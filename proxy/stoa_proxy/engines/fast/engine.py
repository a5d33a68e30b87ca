"""The fast engine: the complete one, with a protocol in front that serves usual requests itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from stoa_proxy.engines.base import PolicyPreparer
from stoa_proxy.engines.complete.beginnings import Beginnings
from stoa_proxy.engines.complete.connection import Connection, ConnectionServer
from stoa_proxy.engines.complete.listener import Acceptor
from stoa_proxy.engines.complete.server import AiohttpEngine
from stoa_proxy.engines.fast.arrival import Arrival
from stoa_proxy.engines.fast.arrivals import IS_SUPPORTED, Arrivals
from stoa_proxy.engines.fast.check_lane import CheckLane
from stoa_proxy.engines.fast.client_link import ClientLink
from stoa_proxy.engines.fast.connection import FastConnection
from stoa_proxy.engines.fast.quick import QuickLane
from stoa_proxy.engines.fast.quick_checks import QuickCheck
from stoa_proxy.engines.fast.quick_exchange import QuickExchange
from stoa_proxy.engines.fast.response_head import DateHeader
from stoa_proxy.engines.fast.turn import Turn
from stoa_proxy.errors import ListenFailed
from stoa_proxy.foundation.connection_shares import ConnectionShares, Held
from stoa_proxy.http.forwarded import is_proxy
from stoa_proxy.pipeline.sidecar import Sidecar

_ABORT_SECONDS = 1.0


class FastEngine(AiohttpEngine):
    """Serves usual requests of HTTP/1.1 without aiohttp, and hands all others to it.

    Both share everything else: the listener, shares, connections to upstreams, metrics. It runs on
    any event loop, and is fast on uvloop's. The attributes are for its connections.
    """

    loop: asyncio.AbstractEventLoop
    shares: ConnectionShares[Held]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self._config
        self.connections: set[ClientLink] = set()
        self._arrivals: Arrivals | None = None
        self.date = DateHeader()
        self.pipeline = self._pipeline
        self.body_targets = self._pipeline.body_targets
        self.store = self._store
        self.lane = QuickLane(self)
        self.turn = Turn(self)
        pipeline = self._pipeline
        self.check_lane = CheckLane(self, pipeline) if isinstance(pipeline, Sidecar) else None
        self.client = self._client
        self.request_shares = self._request_shares
        self.proxies = self._proxies
        self.jitter = self._jitter
        self.head_seconds = config.head_seconds
        self.upload_seconds = config.upload_seconds
        self.write_seconds = config.write_seconds
        self.keepalive_seconds = config.keepalive_seconds
        self._emptied = asyncio.Event()

    @property
    def preparer(self) -> PolicyPreparer:
        """Who awaits policies that need I/O."""
        return self._preparer

    def make_successor(self, predecessor: FastConnection) -> Connection:
        """Return aiohttp's protocol, which takes a connection over."""
        assert self._server is not None, "connections are closed before the server is"
        successor = self._server()
        successor.predecessor = predecessor
        successor.announced = predecessor.announced
        return successor

    def make_quick(self, connection: FastConnection) -> QuickExchange | QuickCheck | None:
        """Return what serves the usual requests of a connection, where any may be usual."""
        if self.check_lane is not None:
            return QuickCheck(connection, self.check_lane)
        # What a proxy says of its clients differs from request to request.
        is_proxied = bool(self.proxies) and is_proxy(connection.client_address, self.proxies)
        if is_proxied or not self.pipeline.forwards:
            return None
        return QuickExchange(connection, self.lane)

    def forget(self, connection: ClientLink) -> None:
        """Count a connection no more, which is closed or handed over."""
        self.connections.discard(connection)
        self.note_end()

    def note_end(self) -> None:
        """Note that a connection is counted no more."""
        if not self.connections and (self._arrivals is None or self._arrivals.is_empty):
            self._emptied.set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port, which for 0 is a free one. Raises ListenFailed."""
        self.loop = asyncio.get_running_loop()
        try:
            return await super().start(host, port)
        except ListenFailed:
            self._end_arrivals()
            raise

    def _make_protocol(self, server: ConnectionServer) -> Callable[[], asyncio.Protocol]:
        self.shares = server.shares
        return lambda: FastConnection(self)

    def _make_acceptor(self, beginnings: Beginnings) -> Acceptor | None:
        config = self._config
        is_plain = config.tls is None and not config.proxy_protocol
        if not (IS_SUPPORTED and is_plain and self.pipeline.forwards) or self.check_lane:
            return None
        self._arrivals = Arrivals(self, beginnings)
        return self._arrivals

    def _end_arrivals(self) -> None:
        arrivals, self._arrivals = self._arrivals, None
        if arrivals is not None:
            arrivals.end()

    async def _end_connections(self, server: ConnectionServer, drain_seconds: float) -> None:
        await asyncio.gather(
            self._end_fast_connections(drain_seconds),
            super()._end_connections(server, drain_seconds),
        )

    async def _end_fast_connections(self, drain_seconds: float) -> None:
        try:
            await self._drain(drain_seconds)
        finally:
            self._end_arrivals()

    def _links(self) -> list[ClientLink | Arrival]:
        return [*self.connections, *(() if self._arrivals is None else self._arrivals.all())]

    async def _drain(self, drain_seconds: float) -> None:
        self._emptied = asyncio.Event()
        for connection in self._links():
            connection.close_when_idle()
        if not self._links():
            return
        try:
            async with asyncio.timeout(drain_seconds):
                await self._emptied.wait()
        except TimeoutError:
            for connection in self._links():
                connection.abort()
            # One of which the loop never says that it is lost must not keep the process.
            with suppress(TimeoutError):
                async with asyncio.timeout(_ABORT_SECONDS):
                    await self._emptied.wait()
