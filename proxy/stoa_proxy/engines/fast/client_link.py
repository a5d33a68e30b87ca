"""What a client's connection is beside its requests: counted, bounded in time, read or written."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from stoa_proxy.engines.complete.slow_clients import SlowClientGuard
from stoa_proxy.engines.fast.timer import LazyTimer
from stoa_proxy.foundation.transports import release

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.engine import FastEngine
    from stoa_proxy.engines.fast.exchange import Exchange
    from stoa_proxy.engines.fast.quick_checks import QuickCheck
    from stoa_proxy.engines.fast.quick_exchange import QuickExchange

# What one client sends is worked off between two turns of others.
READ_BYTES = 32 * 1024


class ClientLink(asyncio.Protocol):
    """A connection of a client, as `foundation.connection_shares.Held` counts it.

    `is_closing` is whether its next response is the last, `is_write_paused` whether the client
    reads slowly.
    """

    # Each connection is there for as long as its client wishes: no `__dict__` for 10,000 of them.
    __slots__ = (
        "__weakref__",
        "_exchange",
        "_guard",
        "_is_lost",
        "announced",
        "client_address",
        "engine",
        "is_closing",
        "is_ending",
        "is_spare",
        "is_write_paused",
        "timer",
        "transport",
        "write",
    )  # fmt: skip

    ends_at_once = False
    transport: asyncio.Transport
    write: Callable[[bytes], object]

    def __init__(self, engine: FastEngine) -> None:
        self.engine = engine
        # As of `complete.connection.Connection`.
        self.announced: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        # uvloop's is one, too, but does not derive from it.
        self.transport = transport = cast("asyncio.Transport", transport)
        self.write = transport.write
        self.client_address: str = self.announced or _address_of(transport)
        if hasattr(transport, "max_size"):  # of asyncio's own loop, though undocumented
            transport.max_size = READ_BYTES
        self._exchange: Exchange | QuickExchange | QuickCheck | None = None
        self._is_lost = self.is_closing = self.is_write_paused = False
        self.is_ending = self.is_spare = False
        self._guard = SlowClientGuard(transport, self.engine.write_seconds)
        self.timer = LazyTimer(self.engine.loop, self._expire)
        self.wait(self.engine.head_seconds)
        self.engine.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give everything back."""
        self._is_lost = True
        self.let_go()
        self.engine.shares.remove(self)
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.abandon()
        release(self.transport)

    def let_go(self) -> None:
        """Be none of the engine's, and keep nothing that refers to this.

        Else it would not be gone with its last user, but wait for a collection.
        """
        self.timer.stop()
        self._guard.stop()
        self.engine.forget(self)

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress: none came yet, the last is answered, or it closes."""
        return self._exchange is None or self.is_ending or self.transport.is_closing()

    @property
    def has_unsent(self) -> bool:
        """Whether a response waits for the client to read it."""
        return self.transport.get_write_buffer_size() > 0

    def drop(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.engine.shares.remove(self)
        self.transport.abort()

    def abort(self) -> None:
        """Close at once and give everything back."""
        self.transport.abort()

    def close_when_idle(self) -> None:
        """Close after the request in progress, or now."""
        self.is_closing = True
        if self._exchange is None:
            self.transport.close()

    def carry(self, step: Callable[[], None]) -> None:
        """Do at once what needs a whole connection."""
        step()

    def replace_exchange(self, exchange: Exchange) -> None:
        """Let another one carry the request at work."""
        self._exchange = exchange

    def wait(self, seconds: float) -> float:
        """Wait for what comes next for so long; return the time of the event loop."""
        now = self.engine.loop.time()
        self.timer.set(now + seconds)
        return now

    def pause_writing(self) -> None:
        """Watch a client that reads more slowly than we write, and read no more for it."""
        self.is_write_paused = True
        self._guard.start()
        if self._exchange is not None:
            self._exchange.pause_response()

    def resume_writing(self) -> None:
        """Go on: the client has taken what was waiting."""
        self.is_write_paused = False
        self._guard.stop()
        if self._exchange is not None:
            self._exchange.resume_response()

    @abstractmethod
    def _expire(self) -> None:
        """End what takes too long."""


def _address_of(transport: asyncio.Transport) -> str:
    address = transport.get_extra_info("peername")
    return address[0] if address else "unknown"
