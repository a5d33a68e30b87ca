"""Connections to upstreams, made under one set of address rules."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from stoa_proxy.core.match import Target
from stoa_proxy.engines.complete.aiohttp_private import ObservedConnector
from stoa_proxy.engines.complete.upstream.failures import OpenConnections, UpstreamProtocol
from stoa_proxy.engines.complete.upstream.http1 import UpstreamResponse
from stoa_proxy.foundation.address_guard import AddressGuard

# Requests made for connections, one per origin; all are dropped when there are so many.
_MAX_ORIGINS = 4096
# Below what common servers keep idle connections for (5 s in Node.js and Apache), so that we
# are the side that closes and requests meet no connection that is being closed.
_KEEPALIVE_SECONDS = 4.0


class AddressRefused(OSError):
    """The address rules refuse an address that a connection was about to be made to."""

    def __init__(self) -> None:
        super().__init__("address refused by the backend rules")


class Connecting:
    """How one request of a tenant got its connection; `was_reused` unless one was made for it."""

    __slots__ = ("tenant", "was_reused")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.was_reused = True


_current: ContextVar[Connecting] = ContextVar("connecting")


def connecting_tenant() -> str:
    """Return the tenant whose request is getting a connection."""
    return _current.get().tenant


def _note_new_connection() -> None:
    """Tell the request that a connection is being made for it."""
    _current.get().was_reused = False


class UpstreamLease:
    """An upstream's response and its connection; `release` it once, whatever happens.

    `on_release` is called then.
    """

    def __init__(self, response: UpstreamResponse, pool: Pool) -> None:
        self.response = response
        self.on_release: Callable[[], None] | None = None
        self._pool = pool

    async def release(self) -> None:
        """Return the connection to the pool if both bodies have ended, close it otherwise."""
        try:
            await self.response.release(may_keep=self._pool.may_keep)
        finally:  # a client that leaves meanwhile cancels it
            if self.on_release is not None:
                self.on_release()
            await self._pool.leave()


class Pool:
    """Connections made under one set of address rules.

    Closed once the rules are replaced and no request uses it any more. While more than `most`
    connections are open, those that end their work are not kept.
    """

    def __init__(self, guard: AddressGuard, resolver: AbstractResolver, most: int) -> None:
        def guarded_socket(info: Any) -> socket.socket:
            # Here, and not at name resolution: this is the address that is connected to.
            if guard.refusal(info[4][0]) is not None:
                raise AddressRefused
            return socket.socket(family=info[0], type=info[1], proto=info[2])

        self._most = most
        self._opened = OpenConnections()
        self._connector = ObservedConnector(
            partial(UpstreamProtocol, self._opened),
            _note_new_connection,
            limit=0,  # clients are bounded; a bound here would let one slow upstream take all of it
            keepalive_timeout=_KEEPALIVE_SECONDS,
            resolver=resolver,
            use_dns_cache=False,  # the resolver has its own
            socket_factory=guarded_socket,
        )
        self._origins: dict[tuple[str, str, int], aiohttp.ClientRequest] = {}
        self._users = 0
        self._is_retired = False

    @property
    def may_keep(self) -> bool:
        """Whether a connection whose work ends may wait for more.

        Kept ones take descriptors: of many upstreams in turn they could be as many as there are.
        """
        return self._opened.count <= self._most

    def join(self, tenant: str) -> Connecting:
        """Count one more user, who is about to send one request of a tenant."""
        self._users += 1
        connecting = Connecting(tenant)
        _current.set(connecting)
        return connecting

    async def connect(self, target: Target, seconds: float) -> Any:
        """Return a connection to a target's origin, new or kept, as aiohttp has them.

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
            # Bytes came on it while nothing had been asked: they must not be taken for a response.
            connection.close()

    async def leave(self) -> None:
        """Count one user less."""
        self._users -= 1
        if self._is_retired:
            await self._close_if_idle()

    async def retire(self) -> None:
        """Close as soon as no request uses it."""
        self._is_retired = True
        await self._close_if_idle()

    async def _close_if_idle(self) -> None:
        if self._users == 0:
            await self._connector.close()

    def _origin(self, target: Target) -> aiohttp.ClientRequest:
        """Return the request that aiohttp takes an origin from; of no other use."""
        key = (target.scheme, target.host, target.port)
        request = self._origins.get(key)
        if request is None:
            if len(self._origins) >= _MAX_ORIGINS:
                self._origins.clear()
            url = URL.build(scheme=target.scheme, host=target.host, port=target.port)
            request = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop())
            self._origins[key] = request
        return request


@lru_cache(maxsize=64)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds)
