"""Connections to upstreams, made under one set of address rules."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp

from stoa_proxy.guard import AddressGuard

_AUTO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_MAX_CONNECTIONS = 4096
# Below what common servers keep idle connections for, so that we are the side that closes.
_KEEPALIVE_SECONDS = 4.0


class AddressRefused(OSError):
    """The guard refuses an address that a connection was about to be made to."""

    def __init__(self) -> None:
        super().__init__("address refused by the backend rules")


class Try:
    """One try of a request, told by the client what it did."""

    __slots__ = ("was_reused",)

    def __init__(self) -> None:
        self.was_reused = False


def _trace_reuse() -> aiohttp.TraceConfig:
    async def mark(_session: object, context: Any, _params: object) -> None:
        context.trace_request_ctx.was_reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(mark)
    return trace


class Lease:
    """An upstream's answer; `release` it once, whatever happens."""

    def __init__(self, answer: aiohttp.ClientResponse, pool: Pool) -> None:
        self.answer = answer
        self._pool = pool

    async def release(self) -> None:
        """Give the connection back if the answer was read to its end, close it otherwise."""
        self.answer.close()
        await self._pool.leave()


class Pool:
    """Connections made under one guard; closed when that guard is replaced and nobody is left."""

    def __init__(self, guard: AddressGuard) -> None:
        def guarded_socket(info: Any) -> socket.socket:
            # Here, and not at name resolution: this is the address that is connected to.
            if guard.refusal(info[4][0]) is not None:
                raise AddressRefused
            return socket.socket(family=info[0], type=info[1], proto=info[2])

        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_MAX_CONNECTIONS,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                socket_factory=guarded_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTO_HEADERS,
            trust_env=False,
            max_field_size=64 * 1024,
            trace_configs=[_trace_reuse()],
        )
        # The client would repeat idempotent requests on its own, also on fresh connections.
        self.session._retry_connection = False  # noqa: SLF001
        self._users = 0
        self._is_retired = False

    def join(self) -> None:
        """Count one more user."""
        self._users += 1

    async def leave(self) -> None:
        """Count one user less."""
        self._users -= 1
        await self._close_if_idle()

    async def retire(self) -> None:
        """Close as soon as nobody uses it."""
        self._is_retired = True
        await self._close_if_idle()

    async def _close_if_idle(self) -> None:
        if self._is_retired and self._users == 0:
            await self.session.close()
