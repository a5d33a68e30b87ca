"""Connections to a gateway: HTTP/1.1 by httpcore, directly or through a proxy.

httpcore's pool goes through all its connections and all waiting requests with every request. Here a
request waits before it has a connection, and takes the one that was used last: 0.3 ms of CPU in
place of 0.5, at four requests at a time.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final, Protocol, TypeAlias

import httpcore
import httpx

KEEP_SECONDS: Final = 5.0
"""How long an unused connection stays open: servers close theirs, and a write must not meet that.
"""


Place: TypeAlias = "tuple[bytes, bytes, int]"
"""Scheme, host and port: httpcore's origins are no keys."""


class Wire(Protocol):
    """What sends a request and returns its response, the body unread; as httpcore's pools do.

    Errors are those of httpcore. The caller closes the response.
    """

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send one request."""

    async def aclose(self) -> None:
        """Close the connections."""


class Connections:
    """At most `most` connections, opened as they are needed."""

    def __init__(self, context: ssl.SSLContext, most: int) -> None:
        self._context = context
        self._slots = asyncio.Semaphore(most)
        # The one that was used last is at the right.
        self._idle: dict[Place, deque[tuple[float, httpcore.AsyncHTTPConnection]]] = {}
        self._is_closed = False

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request once a connection is free; raises httpcore.PoolTimeout if none was."""
        if self._slots.locked():
            await self._wait(request)
        else:
            await self._slots.acquire()
        try:
            connection, response = await self._send(request)
        except BaseException:
            self._slots.release()
            raise
        assert isinstance(response.stream, AsyncIterable)
        response.stream = _Body(self, _place_of(request.url.origin), connection, response.stream)
        return response

    async def aclose(self) -> None:
        """Close what is idle now; what is in use is closed when its response is."""
        self._is_closed = True
        idle, self._idle = self._idle, {}
        for listed in idle.values():
            for _, connection in listed:
                await connection.aclose()

    async def _wait(self, request: httpcore.Request) -> None:
        seconds = request.extensions.get("timeout", {}).get("pool")
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise httpcore.PoolTimeout("no connection was free in time") from None

    async def _send(
        self, request: httpcore.Request
    ) -> tuple[httpcore.AsyncHTTPConnection, httpcore.Response]:
        while True:
            connection = await self._take(request.url.origin)
            try:
                return connection, await connection.handle_async_request(request)
            except httpcore.ConnectionNotAvailable:
                # It was closed between the two calls: nothing was sent.
                await connection.aclose()

    async def _take(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        idle = self._idle.get(_place_of(origin))
        while idle:
            _, connection = idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._context, keepalive_expiry=KEEP_SECONDS
        )

    async def give_back(self, place: Place, one: httpcore.AsyncHTTPConnection) -> None:
        """Take a connection back whose response is closed."""
        try:
            if self._is_closed or not one.is_idle():
                await one.aclose()
                return
            idle, now = self._idle.setdefault(place, deque()), time.monotonic()
            idle.append((now, one))
            # Others take from it while one is closed.
            while idle and idle[0][0] < now - KEEP_SECONDS:
                await idle.popleft()[1].aclose()
        finally:
            self._slots.release()


def _place_of(origin: httpcore.Origin) -> Place:
    return origin.scheme, origin.host, origin.port


class _Body:
    """The body of a response; gives its connection back when it is closed."""

    def __init__(
        self,
        owner: Connections,
        place: Place,
        connection: httpcore.AsyncHTTPConnection,
        stream: AsyncIterable[bytes],
    ) -> None:
        self._owner, self._place = owner, place
        self._connection, self._stream = connection, stream
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        """End the response, whether it was read or not."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._stream.aclose()  # type: ignore[attr-defined]  # httpcore's streams have it
        finally:
            await self._owner.give_back(self._place, self._connection)


def proxied(proxy: str, context: ssl.SSLContext, most: int) -> Wire:
    """Return connections through a proxy (`http`, `https`, `socks5`, `socks5h`), user info in it.

    Raises httpx.InvalidURL.
    """
    # Takes user and password out of the URL, and their escapes with them.
    parsed = httpx.Proxy(proxy)
    url = httpcore.URL(
        scheme=parsed.url.raw_scheme,
        host=parsed.url.raw_host,
        port=parsed.url.port,
        target=parsed.url.raw_path,
    )
    if parsed.url.scheme.startswith("socks"):
        return httpcore.AsyncSOCKSProxy(
            url,
            proxy_auth=parsed.raw_auth,
            ssl_context=context,
            max_connections=most,
            keepalive_expiry=KEEP_SECONDS,
        )
    return httpcore.AsyncHTTPProxy(
        url,
        proxy_auth=parsed.raw_auth,
        ssl_context=context,
        max_connections=most,
        keepalive_expiry=KEEP_SECONDS,
    )
