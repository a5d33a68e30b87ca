"""One connection to an upstream, with what its pool knows of it."""

from __future__ import annotations

import asyncio
from typing import Any

from stoa_proxy.core.backend import Origin
from stoa_proxy.engines.complete.upstream.failures import UpstreamProtocol


class Reader(asyncio.Protocol):
    """Reads a connection in place of aiohttp's protocol; `is_fit` while a request can be sent."""

    is_fit = True


class UpstreamConnection:
    """A connection that carries requests, one after the other; `close` it or keep it in its pool.

    `was_reused` is whether it carried another request before; `idle_since` is when that ended.
    `reader` is who reads it instead of aiohttp's `protocol`; both live as long as the connection,
    so that requests of both engines can take turns on it.
    """

    __slots__ = (
        "_connection", "idle_since", "origin", "protocol", "reader", "transport", "was_reused",
    )  # fmt: skip

    def __init__(self, connection: Any, origin: Origin) -> None:
        self._connection = connection
        self.origin = origin
        self.protocol: UpstreamProtocol = connection.protocol
        self.transport: asyncio.Transport = connection.transport
        self.reader: Reader | None = None
        self.was_reused = False
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent on it.

        Not when bytes came while nothing had been asked: they would be taken for the response.
        """
        if self.reader is not None:
            return self.reader.is_fit and not self.transport.is_closing()
        return self.protocol.is_connected() and not self.protocol.should_close

    def read_by(self, reader: Reader) -> None:
        """Let `reader` have what comes; of the end of the connection it tells `protocol`."""
        self.reader = reader
        self.transport.set_protocol(reader)

    def read_by_protocol(self) -> None:
        """Let aiohttp's protocol have what comes again, between two requests."""
        if self.reader is not None:
            self.reader = None
            self.transport.set_protocol(self.protocol)

    def close(self) -> None:
        """Close it; once more does nothing."""
        self._connection.close()
