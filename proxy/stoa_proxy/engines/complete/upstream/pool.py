"""Connections to upstreams, made under one set of address rules."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from stoa_proxy.core.backend import Origin
from stoa_proxy.core.match import Target
from stoa_proxy.engines.complete.aiohttp_private import ProtocolConnector
from stoa_proxy.engines.complete.upstream.connection import UpstreamConnection
from stoa_proxy.engines.complete.upstream.failures import (
    OpenConnections,
    UpstreamProtocol,
    unanswered,
)
from stoa_proxy.engines.complete.upstream.http1 import UpstreamResponse
from stoa_proxy.foundation.address_guard import AddressGuard

# Requests made for connections, one per origin; all are dropped when there are so many.
_MAX_ORIGINS = 4096
# Below what common servers keep idle connections for (5 s in Node.js and Apache), so that we
# are the side that closes and requests meet no connection that is being closed.
_KEEPALIVE_SECONDS = 4.0
# How often kept connections are looked through for those whose time is over.
_SWEEP_SECONDS = 0.5


class AddressRefused(OSError):
    """The address rules refuse an address that a connection was about to be made to."""

    def __init__(self) -> None:
        super().__init__("address refused by the backend rules")


_tenant: ContextVar[str] = ContextVar("tenant")


def connecting_tenant() -> str:
    """Return the tenant whose request is getting a connection."""
    return _tenant.get()


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
        response = self.response
        try:
            if response.is_whole:
                self._pool.keep(response.connection)
            else:
                await response.abandon()
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

        # Asking for it each time is a system call in Python 3.11 (`getpid`), 5 % of a request.
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._opened = OpenConnections()
        self._connector = ProtocolConnector(
            partial(UpstreamProtocol, self._opened),
            limit=0,  # clients are bounded; a bound here would let one slow upstream take all of it
            force_close=True,  # connections are kept here: aiohttp's way costs 5 % of a request
            resolver=resolver,
            use_dns_cache=False,  # the resolver has its own
            socket_factory=guarded_socket,
        )
        self._requests: dict[Origin, aiohttp.ClientRequest] = {}
        # Those that wait for more, by origin, the one that is idle longest first.
        self._kept: dict[Origin, list[UpstreamConnection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._users = 0
        self._is_retired = False
        self._closing: asyncio.Future[None] | None = None  # so that it is not collected meanwhile

    @property
    def idle(self) -> int:
        """How many connections are kept for more."""
        return sum(map(len, self._kept.values()))

    @property
    def users(self) -> int:
        """How many requests have a connection, or are getting one."""
        return self._users

    def join(self) -> None:
        """Count one more user, who is about to send one request."""
        self._users += 1

    def take(self, origin: Origin, now: float) -> UpstreamConnection | None:
        """Return a kept connection to an origin, or None; `now` is the time of the event loop."""
        kept = self._kept.get(origin)
        while kept:
            connection = kept.pop()  # the one used last is the least likely to be closing
            if connection.idle_since >= now - _KEEPALIVE_SECONDS and connection.is_usable:
                return connection
            connection.close()
        return None

    async def connect(self, target: Target, tenant: str, seconds: float) -> UpstreamConnection:
        """Return a connection to a target's origin for a tenant's request, new or kept.

        Raises aiohttp.ClientError; ConnectionTimeoutError, which is one, after `seconds`; and
        CertificateUnusable where the gateway lacks what it should show there; UpstreamFailed where
        it ended at once.
        """
        origin = target.origin
        kept = self.take(origin, self._loop.time())
        if kept is not None:
            kept.read_by_protocol()
            return kept
        _tenant.set(tenant)
        tls = target.tls
        if tls is not None and tls.context is None:
            await asyncio.to_thread(tls.make_context)
        request = self._request(origin)
        try:
            made = await self._connector.connect(request, [], _timeout(seconds))
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        if made.transport is None or made.transport.is_closing():
            # As where the upstream refuses a certificate by TLS 1.3. It is told why in a moment.
            await asyncio.sleep(0)
            lost_by = cast(UpstreamProtocol, made.protocol).lost_by
            made.close()
            raise unanswered(lost_by)
        return UpstreamConnection(made, origin)

    def keep(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose work has ended for more, or close it.

        Kept ones take descriptors: of many upstreams in turn they could be as many as there are.
        """
        if self._is_retired or self._opened.count > self._most or not connection.is_usable:
            connection.close()
            return
        connection.was_reused = True
        connection.idle_since = self._loop.time()
        kept = self._kept.get(connection.origin)
        if kept is None:
            kept = self._kept[connection.origin] = []
        kept.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(_SWEEP_SECONDS, self._close_expired)

    def give_back(self, connection: UpstreamConnection, now: float) -> None:
        """Do what `keep` and `leave_now` do behind a response that came whole; `now` as of `take`.

        Whether it can be used again is asked in full when it is.
        """
        reader = connection.reader
        if (
            reader is None
            or not reader.is_fit
            or self._is_retired
            or self._opened.count > self._most
            or self._sweep is None
        ):
            self.keep(connection)
            self.leave_now()
            return
        self._users -= 1
        connection.was_reused = True
        connection.idle_since = now
        kept = self._kept.get(connection.origin)
        if kept is None:
            kept = self._kept[connection.origin] = []
        kept.append(connection)

    async def leave(self) -> None:
        """Count one user less."""
        self._users -= 1
        if self._is_retired:
            await self._close_if_unused()

    def leave_now(self) -> None:
        """Count one user less, and let the rest happen by itself: for callers that cannot wait."""
        self._users -= 1
        if self._is_retired and self._users == 0:
            self._closing = asyncio.get_running_loop().create_task(self._connector.close())

    async def retire(self) -> None:
        """Close what is idle now, and the rest as soon as no request uses it."""
        self._is_retired = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._close_kept(math.inf)
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._users == 0:
            await self._connector.close()

    def _close_expired(self) -> None:
        loop = self._loop
        self._close_kept(loop.time() - _KEEPALIVE_SECONDS)
        self._sweep = loop.call_later(_SWEEP_SECONDS, self._close_expired) if self._kept else None

    def _close_kept(self, until: float) -> None:
        """Close kept connections that are idle since then or longer, and those closed by others."""
        for origin, connections in list(self._kept.items()):
            left = []
            for connection in connections:
                if connection.idle_since > until and connection.is_usable:
                    left.append(connection)
                else:
                    connection.close()
            if left:
                self._kept[origin] = left
            else:
                del self._kept[origin]

    def _request(self, origin: Origin) -> aiohttp.ClientRequest:
        """Return the request that aiohttp takes an origin from; of no other use."""
        request = self._requests.get(origin)
        if request is None:
            scheme, host, port, tls = origin
            url = URL.build(scheme=scheme, host=host, port=port)
            if tls is not None:
                # Not kept: a key that has been replaced would be kept with it.
                context, name = tls.make_context(), tls.server_name
                return aiohttp.ClientRequest(
                    "GET", url, loop=self._loop, ssl=context, server_hostname=name
                )
            if len(self._requests) >= _MAX_ORIGINS:
                self._requests.clear()
            request = aiohttp.ClientRequest("GET", url, loop=self._loop)
            self._requests[origin] = request
        return request


@lru_cache(maxsize=64)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds)
