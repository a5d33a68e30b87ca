"""The client side of the aiohttp engine: guarded connections, timeouts, bounded retries."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from stoa_proxy.engines.body import BodyLost, RequestBody
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.exchange import Forward
from stoa_proxy.guard import AddressGuard
from stoa_proxy.heads import Headers
from stoa_proxy.match import Target

_log = logging.getLogger("stoa_proxy.upstream")

_AUTO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_MAX_CONNECTIONS = 4096
# Below what common servers keep idle connections for, so that we are the side that closes.
_KEEPALIVE_SECONDS = 4.0
# A refused address stays refused, and who was slow once has used up the time.
_REPEATED = frozenset({"unreachable", "no-answer"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

Pause = Callable[[float], Awaitable[None]]


class AddressRefused(OSError):
    """The guard refuses an address that a connection was about to be made to."""

    def __init__(self) -> None:
        super().__init__("address refused by the backend rules")


class _Try:
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

    def __init__(self, answer: aiohttp.ClientResponse, pool: _Pool) -> None:
        self.answer = answer
        self._pool = pool

    async def release(self) -> None:
        """Give the connection back if the answer was read to its end, close it otherwise."""
        self.answer.close()
        await self._pool.leave()


class _Pool:
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
        self._users += 1

    async def leave(self) -> None:
        self._users -= 1
        await self._close_if_idle()

    async def retire(self) -> None:
        self._is_retired = True
        await self._close_if_idle()

    async def _close_if_idle(self) -> None:
        if self._is_retired and self._users == 0:
            await self.session.close()


class UpstreamClient:
    """Calls upstreams. `pause` waits between tries, `jitter` draws from 0 to 1."""

    def __init__(
        self,
        guard: AddressGuard,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._guard = guard
        self._pause = pause
        self._jitter = jitter
        self._pool: _Pool | None = None

    async def open(self) -> None:
        """Make ready; needs a running loop."""
        self._pool = _Pool(self._guard)

    async def close(self) -> None:
        """Close all connections; those in use when they are released."""
        if self._pool is not None:
            await self._pool.retire()
            self._pool = None

    async def update_guard(self, guard: AddressGuard) -> None:
        """Judge by `guard` from now on; idle connections made under the old one are closed."""
        self._guard = guard
        old, self._pool = self._pool, None
        if old is not None:
            await self.open()
            await old.retire()

    async def call(self, forward: Forward, body: RequestBody | None) -> Lease:
        """The answer's head, body still to be read. Raises UpstreamFailed."""
        deadline = asyncio.get_running_loop().time() + forward.timeout
        tries, may_be_stale = 0, forward.is_repeatable
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    if tries:
                        await self._pause(self._pause_seconds(tries))
                    return await self._once(forward, body)
            except TimeoutError:
                raise UpstreamFailed("timeout") from None
            except UpstreamFailed as failure:
                if may_be_stale and failure.was_reused:
                    # An idle connection that was closed at its other end tells nothing.
                    may_be_stale = False
                    continue
                if tries >= forward.retries or failure.reason not in _REPEATED:
                    raise
            tries += 1

    def _pause_seconds(self, tries: int) -> float:
        longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (tries - 1))
        return longest * (0.5 + self._jitter() / 2)

    async def _once(self, forward: Forward, body: RequestBody | None) -> Lease:
        pool = self._pool
        if pool is None:
            raise UpstreamFailed("unreachable")
        pool.join()
        attempt = _Try()
        try:
            answer = await self._request(pool.session, forward, body, attempt)
        except BaseException as error:
            await pool.leave()
            reason = _reason(error)
            if reason is None:
                raise
            _log.debug("no answer route=%s: %r", forward.exchange.route.id, error)
            was_reused = attempt.was_reused and reason == "no-answer"
            raise UpstreamFailed(reason, was_reused=was_reused) from error
        return Lease(answer, pool)

    async def _request(
        self,
        session: aiohttp.ClientSession,
        forward: Forward,
        body: RequestBody | None,
        attempt: _Try,
    ) -> aiohttp.ClientResponse:
        return await session.request(
            forward.exchange.head.method,
            target_url(forward.target),
            headers=_one_spelling(forward.headers),
            data=body,
            allow_redirects=False,
            trace_request_ctx=attempt,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=forward.connect_timeout,
                sock_connect=forward.connect_timeout,
                sock_read=forward.timeout,
            ),
        )


def target_url(target: Target) -> URL:
    """The URL of a target, nothing encoded or decoded again."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return URL.build(
        scheme=target.scheme,
        authority=f"{host}:{target.port}",
        path=target.path,
        query_string=target.query,
        encoded=True,
    )


def _one_spelling(headers: Headers) -> CIMultiDict[str]:
    """Headers whose repeated names are spelt alike: the client would let one replace another."""
    spelling: dict[str, str] = {}
    pairs = [(spelling.setdefault(name.lower(), name), value) for name, value in headers]
    return CIMultiDict(pairs)


def _reason(error: BaseException) -> str | None:
    """Why there is no answer; None for what is no failure of an upstream (cancellation, bugs)."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "unreachable"
    if isinstance(error, aiohttp.ServerTimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "denied" if isinstance(error.os_error, AddressRefused) else "unreachable"
    if isinstance(error, (aiohttp.ClientError, BodyLost)):
        return "no-answer"
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return "no-answer"
    return None
