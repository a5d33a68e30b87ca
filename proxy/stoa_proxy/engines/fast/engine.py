"""The fast engine: the complete one, with a protocol in front that serves usual requests itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from stoa_proxy.engines.base import PolicyPreparer
from stoa_proxy.engines.complete.connection import Connection, ConnectionServer
from stoa_proxy.engines.complete.server import AiohttpEngine
from stoa_proxy.engines.fast.client_link import ClientLink
from stoa_proxy.engines.fast.connection import FastConnection
from stoa_proxy.engines.fast.quick import QuickLane
from stoa_proxy.engines.fast.quick_checks import CheckLane
from stoa_proxy.engines.fast.response_head import DateHeader
from stoa_proxy.foundation.connection_shares import ConnectionShares, Held
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
        self.date = DateHeader()
        self.pipeline = self._pipeline
        self.body_targets = self._pipeline.body_targets
        self.store = self._store
        self.lane = QuickLane(self)
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

    def forget(self, connection: ClientLink) -> None:
        """Count a connection no more, which is closed or handed over."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port, which for 0 is a free one. Raises ListenFailed."""
        self.loop = asyncio.get_running_loop()
        return await super().start(host, port)

    def _make_protocol(self, server: ConnectionServer) -> Callable[[], asyncio.Protocol]:
        self.shares = server.shares
        return lambda: FastConnection(self)

    async def _end_connections(self, server: ConnectionServer, drain_seconds: float) -> None:
        await asyncio.gather(
            self._end_fast_connections(drain_seconds),
            super()._end_connections(server, drain_seconds),
        )

    async def _end_fast_connections(self, drain_seconds: float) -> None:
        self._emptied = asyncio.Event()
        for connection in list(self.connections):
            connection.close_when_idle()
        if not self.connections:
            return
        try:
            async with asyncio.timeout(drain_seconds):
                await self._emptied.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.transport.abort()
            # One of which the loop never says that it is lost must not keep the process.
            with suppress(TimeoutError):
                async with asyncio.timeout(_ABORT_SECONDS):
                    await self._emptied.wait()
