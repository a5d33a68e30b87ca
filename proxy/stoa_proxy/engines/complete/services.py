"""What the aiohttp engine gives to policies that need I/O (`core.policy.Services`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from stoa_proxy.core.backend import Backend, parse_upstream
from stoa_proxy.core.expiring_cache import ExpiringCache
from stoa_proxy.core.match import Target
from stoa_proxy.core.policy import FetchedResponse
from stoa_proxy.core.upstream_headers import CONNECT_SECONDS
from stoa_proxy.engines.base import OPERATOR
from stoa_proxy.engines.complete.responses import decode_headers
from stoa_proxy.engines.complete.upstream.client import UpstreamClient
from stoa_proxy.engines.complete.upstream.http1 import UpstreamResponse
from stoa_proxy.engines.deadlines import TimeLimits
from stoa_proxy.errors import BackendInvalid, ServiceFailed, UpstreamFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.upstream_tls import UpstreamTls
from stoa_proxy.http.heads import Headers

# From connecting to the last byte. Less than what a policy has in all, so that it can react.
FETCH_SECONDS = 4.0
# A key set or an introspection has a few kibibytes; what is larger is a wrong URL.
MAX_FETCHED_BYTES = 1024 * 1024


class TenantServices:
    """Services of each tenant, so that what one caches or looks up displaces nothing of others.

    `operators` calls what the operator's settings name, whatever the address rules for backends
    are; its services are those of no tenant.
    """

    def __init__(self, client: UpstreamClient, operators: UpstreamClient, clock: Clock) -> None:
        self._client = client
        self._operators = operators
        self._clock = clock
        self._by_tenant: dict[str, EngineServices] = {}

    def of(self, tenant: str) -> EngineServices:
        """Return the services of a tenant, which are made when they are asked for first."""
        services = self._by_tenant.get(tenant)
        if services is None:
            client = self._operators if tenant == OPERATOR else self._client
            services = EngineServices(client, self._clock, tenant)
            self._by_tenant[tenant] = services
        return services


class EngineServices:
    """`core.policy.Services` of one tenant over the engine's upstream client and address rules."""

    def __init__(self, client: UpstreamClient, clock: Clock, tenant: str) -> None:
        self._client = client
        self._tenant = tenant
        self._clock = clock
        self._cache = ExpiringCache(clock)
        self._limits = TimeLimits()

    @property
    def clock(self) -> Clock:
        """The gateway's clock."""
        return self._clock

    @property
    def cache(self) -> ExpiringCache:
        """Values shared by all requests to the APIs of the tenant."""
        return self._cache

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        seconds: float = FETCH_SECONDS,
        tls: UpstreamTls | None = None,
    ) -> FetchedResponse:
        """Send a request and return the whole response. Raises ServiceFailed."""
        target = self._parse_url(url)._replace(tls=tls)
        if body:
            headers = (*headers, ("Content-Length", str(len(body))))
        content = _Content(body) if body else None
        try:
            with self._limits.within(seconds):
                lease = await self._client.send(
                    method, target, headers, content, CONNECT_SECONDS, tenant=self._tenant
                )
                try:
                    response = lease.response
                    pairs = tuple(decode_headers(response))
                    return FetchedResponse(response.status, pairs, await _read(response))
                finally:
                    await lease.release()
        except UpstreamFailed as error:
            raise ServiceFailed(f"{target.shown}: {error.reason}") from error
        except TimeoutError:
            raise ServiceFailed(f"{target.shown}: timeout") from None
        except aiohttp.ClientError as error:
            raise ServiceFailed(f"{target.shown}: the response is broken") from error

    def _parse_url(self, url: str) -> Target:
        try:
            backend = parse_upstream(url, self._client.guard)
        except BackendInvalid as error:
            raise ServiceFailed(error.detail) from None
        if not isinstance(backend, Backend):
            raise ServiceFailed("only http and https URLs can be fetched")
        path = backend.base_path or "/"
        return Target(*backend.origin, path, backend.base_query)


class _Content:
    """A request body that is here already, as the upstream client takes it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


async def _read(response: UpstreamResponse) -> bytes:
    if response.status == 101:
        raise ServiceFailed("a service changed the protocol")
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > MAX_FETCHED_BYTES:
            raise ServiceFailed(f"a service sent more than {MAX_FETCHED_BYTES} bytes")
    return bytes(content)
