"""The upstream client of the aiohttp engine: address rules, time limits, attempts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from functools import partial

import aiohttp

from stoa_proxy.core.attempts import Attempt, Attempts, Step
from stoa_proxy.core.exchange import Forward
from stoa_proxy.core.match import Target
from stoa_proxy.engines.complete.request_body import RequestBody
from stoa_proxy.engines.complete.upstream.failures import NO_WEBSOCKET
from stoa_proxy.engines.complete.upstream.http1 import UpstreamResponse, send_request
from stoa_proxy.engines.complete.upstream.pool import (
    AddressRefused,
    Pool,
    UpstreamLease,
    connecting_tenant,
)
from stoa_proxy.engines.complete.upstream.resolver import Resolver
from stoa_proxy.engines.deadlines import TimeLimits
from stoa_proxy.errors import CertificateUnusable, UpstreamFailed
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.in_flight import InFlight
from stoa_proxy.foundation.throttled_log import ThrottledLog
from stoa_proxy.foundation.upstream_tls import NO_TLS, describe_handshake
from stoa_proxy.http.heads import Headers
from stoa_proxy.http.websocket import accepts_handshake

_log = logging.getLogger("stoa_proxy.upstream")

Pause = Callable[[float], Awaitable[None]]


class UpstreamClient:
    """Calls upstreams; `pause` waits between attempts.

    `connections` are kept at most. `in_flight` are requests by tenant, host and port,
    `per_upstream` of each at a time; of one tenant `lookups_per_tenant` names are looked up at a
    time.
    """

    def __init__(
        self,
        guard: AddressGuard,
        clock: Clock,
        *,
        connections: int,
        per_upstream: int,
        lookups_per_tenant: int,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._connections = connections
        self._lookups_per_tenant = lookups_per_tenant
        self._resolver: Resolver | None = None
        self.in_flight: InFlight[tuple[str, str, int]] = InFlight(
            per_upstream, "requests that one upstream may have", ThrottledLog(_log, clock)
        )
        self.pause = pause
        self._pool: Pool | None = None
        self._limits = TimeLimits()

    @property
    def guard(self) -> AddressGuard:
        """The address rules that connections are made by."""
        return self._guard

    @property
    def pool(self) -> Pool | None:
        """The connections that are kept; None while the client is closed."""
        return self._pool

    @property
    def lookups(self) -> InFlight[str] | None:
        """Names that are being looked up, by tenant; None before the client is open."""
        return None if self._resolver is None else self._resolver.running

    async def open(self) -> None:
        """Make ready for the running event loop."""
        self._resolver = Resolver(self._clock, connecting_tenant, self._lookups_per_tenant)
        self._pool = Pool(self._guard, self._resolver, self._connections)
        self._limits = TimeLimits()

    async def close(self) -> None:
        """Close all connections; those in use when they are released."""
        if self._pool is not None:
            await self._pool.retire()
            self._pool = None

    async def update_guard(self, guard: AddressGuard) -> None:
        """Connect by `guard` from now on; idle connections made under the old one are closed."""
        self._guard = guard
        old = self._pool
        if old is not None and self._resolver is not None:
            self._pool = Pool(guard, self._resolver, self._connections)
            await old.retire()

    async def call(
        self, attempt: Attempt, attempts: Attempts, body: RequestBody | None
    ) -> UpstreamLease | Step:
        """Make an attempt and its retries; return the response's head, or the step that follows.

        The body of the response is still to be read from the lease.
        """
        forward, target = attempt.forward, attempt.forward.target
        # By tenant, too: nobody may use up what another one has of a backend that both call.
        key = (forward.context.route.tenant_id, target.host, target.port)
        if not self.in_flight.enter(key):
            return attempts.next(UpstreamFailed("busy"))
        is_leased = False
        try:
            with self._limits.within(forward.timeout):
                while True:
                    if attempt.pause:
                        await self.pause(attempt.pause)
                    try:
                        lease = await self.send(
                            forward.context.head.method,
                            target,
                            forward.headers,
                            body,
                            forward.connect_timeout,
                            tenant=forward.context.route.tenant_id,
                        )
                    except UpstreamFailed as failure:
                        step = attempts.next(failure)
                    else:
                        if lease.response.status != 101 or _is_agreed(forward, lease.response):
                            lease.on_release = partial(self.in_flight.leave, key)
                            is_leased = True
                            return lease
                        await lease.release()
                        step = attempts.next(UpstreamFailed("bad-answer", NO_WEBSOCKET))
                    if not isinstance(step, Attempt) or not step.is_retry:
                        return step
                    attempt = step
        except TimeoutError:
            return attempts.next(UpstreamFailed("timeout"))
        finally:
            if not is_leased:
                self.in_flight.leave(key)

    async def send(
        self,
        method: str,
        target: Target,
        headers: Headers,
        body: AsyncIterable[bytes] | None,
        connect_seconds: float,
        *,
        tenant: str = "",
    ) -> UpstreamLease:
        """Send one request of a tenant, or of the gateway itself.

        Returns the response's head, its body still to be read.
        The caller bounds the time and releases the lease. Raises UpstreamFailed.
        """
        pool = self._pool
        if pool is None:
            raise UpstreamFailed("unreachable")
        pool.join()
        connection = None
        try:
            connection = await pool.connect(target, tenant, connect_seconds)
            response = await send_request(connection, method, target, headers, body)
        except UpstreamFailed as failure:
            await pool.leave()
            _log.debug("no response of %r: %r", target, failure.__cause__)
            failure.was_reused = connection is not None and connection.was_reused
            raise
        except BaseException as error:
            await pool.leave()
            known = connect_failure(error)
            if known is None:
                raise
            _log.debug("no connection to %r: %r", target, error)
            raise known from error
        return UpstreamLease(response, pool)


def _is_agreed(forward: Forward, response: UpstreamResponse) -> bool:
    """Whether a 101 is the upgrade that was asked for; any other is none that we can carry."""
    key = forward.context.head.value("sec-websocket-key")
    return forward.is_websocket and key is not None and accepts_handshake(key, response.headers)


def connect_failure(error: BaseException) -> UpstreamFailed | None:
    """Return why there is no connection; None for cancellation and errors in our own code."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamFailed("unreachable")
    if isinstance(error, aiohttp.ClientSSLError):
        return UpstreamFailed("tls-failed", describe_handshake(error.__cause__))
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, AddressRefused):
            return UpstreamFailed("denied")
        if error.ssl is not False and isinstance(error.os_error, ConnectionResetError):
            return UpstreamFailed("tls-failed", NO_TLS)  # connected, for else it is refused
        return UpstreamFailed("unreachable")
    if isinstance(error, CertificateUnusable):
        return UpstreamFailed("credential-unresolved")
    # TimeoutError is an OSError, and here the end of the whole call: it says nothing of connecting.
    if isinstance(error, (aiohttp.ClientError, OSError)) and not isinstance(error, TimeoutError):
        return UpstreamFailed("no-answer")
    return None
