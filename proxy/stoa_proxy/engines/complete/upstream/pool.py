"""Connections to upstreams, made under one set of address rules."""

from __future__ import annotations

import asyncio
import socket
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import aiohttp
from yarl import URL

from stoa_proxy.core.match import Target
from stoa_proxy.engines.complete.aiohttp_private import ObservedConnector
from stoa_proxy.engines.complete.upstream.failures import UpstreamProtocol
from stoa_proxy.engines.complete.upstream.http1 import UpstreamResponse
from stoa_proxy.foundation.address_guard import AddressGuard

_MAX_ORIGINS = 4096
# Below what common servers keep idle connections for, so that we are the side that closes.
_KEEPALIVE_SECONDS = 4.0


class AddressRefused(OSError):
    """The guard refuses an address that a connection was about to be made to."""

    def __init__(self) -> None:
        super().__init__("address refused by the backend rules")


class Connecting:
    """How one request got its connection; `was_reused` unless one was made for it."""

    __slots__ = ("was_reused",)

    def __init__(self) -> None:
        self.was_reused = True


_current: ContextVar[Connecting] = ContextVar("connecting")


def _note_new_connection() -> None:
    """Tell the request that a connection is being made for it."""
    _current.get().was_reused = False


class UpstreamLease:
    """An upstream's answer; `release` it once, whatever happens."""

    def __init__(self, answer: UpstreamResponse, pool: Pool) -> None:
        self.response = answer
        self._pool = pool

    async def release(self) -> None:
        """Give the connection back if both bodies came to their ends, close it otherwise."""
        try:
            await self.response.release()
        finally:  # a caller that leaves meanwhile cancels it
            await self._pool.leave()


class Pool:
    """Connections made under one guard; closed when that guard is replaced and nobody is left."""

    def __init__(self, guard: AddressGuard) -> None:
        def guarded_socket(info: Any) -> socket.socket:
            # Here, and not at name resolution: this is the address that is connected to.
            if guard.refusal(info[4][0]) is not None:
                raise AddressRefused
            return socket.socket(family=info[0], type=info[1], proto=info[2])

        self._connector = ObservedConnector(
            UpstreamProtocol,
            _note_new_connection,
            limit=0,  # callers are bounded: a bound here lets one slow upstream take all of it
            keepalive_timeout=_KEEPALIVE_SECONDS,
            socket_factory=guarded_socket,
        )
        self._origins: dict[tuple[str, str, int], aiohttp.ClientRequest] = {}
        self._users = 0
        self._is_retired = False

    def join(self) -> Connecting:
        """Count one more user, who is about to send one request."""
        self._users += 1
        connecting = Connecting()
        _current.set(connecting)
        return connecting

    async def connect(self, target: Target, seconds: float) -> Any:
        """A connection to a target's origin, new or kept, as the client library has them.

        Raises aiohttp.ClientError; ConnectionTimeoutError, which is one, after `seconds`.
        """
        origin, connecting = self._origin(target), _current.get()
        while True:
            try:
                connection = await self._connector.connect(origin, [], _timeout(seconds))
            except TimeoutError as error:
                raise aiohttp.ConnectionTimeoutError from error
            protocol = connection.protocol
            if not connecting.was_reused or (protocol is not None and not protocol.should_close):
                return connection
            # It was sent something while nobody had asked: not to be taken for an answer.
            connection.close()

    async def leave(self) -> None:
        """Count one user less."""
        self._users -= 1
        if self._is_retired:
            await self._close_if_idle()

    async def retire(self) -> None:
        """Close as soon as nobody uses it."""
        self._is_retired = True
        await self._close_if_idle()

    async def _close_if_idle(self) -> None:
        if self._users == 0:
            await self._connector.close()

    def _origin(self, target: Target) -> aiohttp.ClientRequest:
        """What the client library asks for a connection with."""
        key = (target.scheme, target.host, target.port)
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= _MAX_ORIGINS:
                self._origins.clear()
            url = URL.build(scheme=target.scheme, host=target.host, port=target.port)
            found = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop())
            self._origins[key] = found
        return found


@lru_cache(maxsize=64)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds)
