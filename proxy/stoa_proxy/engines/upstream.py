"""The client side of the aiohttp engine: guarded connections, timeouts, bounded retries."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from stoa_proxy.engines.body import BodyLost, RequestBody
from stoa_proxy.engines.pool import AddressRefused, Lease, Pool, Try
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.exchange import Forward
from stoa_proxy.guard import AddressGuard
from stoa_proxy.heads import Headers
from stoa_proxy.match import Target

_log = logging.getLogger("stoa_proxy.upstream")

# A refused address stays refused, and who was slow once has used up the time.
_REPEATED = frozenset({"unreachable", "no-answer"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

Pause = Callable[[float], Awaitable[None]]


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
        self._pool: Pool | None = None

    async def open(self) -> None:
        """Make ready; needs a running loop."""
        self._pool = Pool(self._guard)

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
        attempt = Try()
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
        attempt: Try,
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
