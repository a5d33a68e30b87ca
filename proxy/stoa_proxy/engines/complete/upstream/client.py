"""The client side of the aiohttp engine: guarded connections, timeouts, bounded retries."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import aiohttp

from stoa_proxy.core.exchange import Forward
from stoa_proxy.core.websocket import has_agreed
from stoa_proxy.engines.complete.request_body import RequestBody
from stoa_proxy.engines.complete.upstream.failures import NO_WEBSOCKET
from stoa_proxy.engines.complete.upstream.http1 import send_request
from stoa_proxy.engines.complete.upstream.pool import AddressRefused, Pool, UpstreamLease
from stoa_proxy.engines.deadlines import TimeLimits
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.foundation.address_guard import AddressGuard

_log = logging.getLogger("stoa_proxy.upstream")

# A refused address stays refused, and who was slow once has used up the time.
_REPEATED = frozenset({"unreachable", "no-answer", "bad-answer"})
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
        self._limits = TimeLimits()

    async def open(self) -> None:
        """Make ready; needs a running loop."""
        self._pool = Pool(self._guard)
        self._limits = TimeLimits()

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

    async def call(self, forward: Forward, body: RequestBody | None) -> UpstreamLease:
        """The answer's head, body still to be read. Raises UpstreamFailed."""
        try:
            with self._limits.within(forward.timeout):
                return await self._try(forward, body)
        except TimeoutError:
            raise UpstreamFailed("timeout") from None

    async def _try(self, forward: Forward, body: RequestBody | None) -> UpstreamLease:
        """Try until there is an answer or tries are used up."""
        tries, may_be_stale = 0, forward.is_repeatable
        while True:
            try:
                if tries:
                    await self._pause(self._pause_seconds(tries))
                return await self._once(forward, body)
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

    async def _once(self, forward: Forward, body: RequestBody | None) -> UpstreamLease:
        pool = self._pool
        if pool is None:
            raise UpstreamFailed("unreachable")
        attempt = pool.join()
        try:
            connection = await pool.connect(forward.target, forward.connect_timeout)
            answer = await send_request(connection, forward, body)
        except UpstreamFailed as failure:
            await pool.leave()
            cause = failure.__cause__
            _log.debug("no answer route=%s: %r", forward.context.route.id, cause)
            failure.was_reused = attempt.was_reused
            raise
        except BaseException as error:
            await pool.leave()
            reason = _reason(error)
            if reason is None:
                raise
            _log.debug("no connection route=%s: %r", forward.context.route.id, error)
            raise UpstreamFailed(reason) from error
        lease = UpstreamLease(answer, pool)
        if answer.status == 101 and not has_agreed(forward, answer.headers):
            await lease.release()
            raise UpstreamFailed("bad-answer", NO_WEBSOCKET)
        return lease


def _reason(error: BaseException) -> str | None:
    """Why there is no connection; None for what is no failure of an upstream (cancellation, bugs)."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "unreachable"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "denied" if isinstance(error.os_error, AddressRefused) else "unreachable"
    if isinstance(error, (aiohttp.ClientError, OSError)) and not isinstance(error, TimeoutError):
        return "no-answer"
    return None
