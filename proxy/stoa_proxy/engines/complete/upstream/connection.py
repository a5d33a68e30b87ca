"""One connection to an upstream, with what its pool knows of it."""

from __future__ import annotations

from typing import Any

from stoa_proxy.engines.complete.upstream.failures import UpstreamProtocol

Origin = tuple[str, str, int]
"""Scheme, host and port."""


class UpstreamConnection:
    """A connection that carries requests, one after the other; `close` it or keep it in its pool.

    `was_reused` is whether it carried another request before; `idle_since` is when that ended.
    """

    __slots__ = ("_connection", "idle_since", "origin", "protocol", "was_reused")

    def __init__(self, connection: Any, origin: Origin) -> None:
        self._connection = connection
        self.origin = origin
        self.protocol: UpstreamProtocol = connection.protocol
        self.was_reused = False
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent on it.

        Not when bytes came while nothing had been asked: they would be taken for the response.
        """
        return self.protocol.is_connected() and not self.protocol.should_close

    def close(self) -> None:
        """Close it; once more does nothing."""
        self._connection.close()
