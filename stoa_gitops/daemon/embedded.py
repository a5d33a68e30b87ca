"""The data plane inside this process: started when the catalog first has a gateway with `baseUrl: embedded`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextvars import Context

from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.errors import ListenFailed as ProxyListenFailed

from stoa_gitops.adapter_sdk.info import InProcessAdmin
from stoa_gitops.daemon.listeners import ListenFailed
from stoa_gitops.model.instances import GatewayInstance

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""Networks that backends of a company live in. The catalog's rule denies loopback, link-local, multicast and
unspecified addresses only, so the embedded gateway lets these through."""

DRAIN_SECONDS = 5.0


class EmbeddedGateway:
    """Owns the data plane's listener. `token` is made anew for each process and never logged.

    `is_ready` decides about its `/ready`: a table that was not filled yet must not get traffic.
    """

    def __init__(self, host: str, port: int, is_ready: Callable[[], bool] = lambda: True) -> None:
        self._is_ready = is_ready
        self._host = host
        self._port = port
        self.token = secrets.token_urlsafe(32)
        self._gateway: Gateway | None = None
        self._turn = asyncio.Lock()
        self._backends: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    @property
    def base_url(self) -> str:
        """Where it listens; empty when it was not needed so far."""
        return self._gateway.base_url if self._gateway else ""

    @property
    def inside(self) -> InProcessAdmin | None:
        """Its admin API, without the way over its listener; None when it was not needed so far."""
        return self._gateway.administer if self._gateway else None

    async def serve(self, instance: GatewayInstance) -> None:
        """Start it if it is not running, and give it the instance's rules for backend addresses.

        Raises ListenFailed when its address cannot be had.
        """
        async with self._turn:
            await self._serve((*PRIVATE, *instance.backends_allow), instance.backends_deny)

    async def _serve(self, allow: tuple[str, ...], deny: tuple[str, ...]) -> None:
        if self._gateway is None:
            config = ProxyConfig(
                host=self._host,
                port=self._port,
                admin_api_token=self.token,
                backends_allow=allow,
                backends_deny=deny,
            )
            gateway = Gateway(config)
            gateway.set_ready(self._is_ready)
            try:
                # Its connections live on: they belong to no cycle, though it was one that needed the listener.
                await asyncio.create_task(gateway.start(), context=Context())
            except ProxyListenFailed as error:
                raise ListenFailed(f"{error}; --gateway-listen chooses another address") from error
            self._gateway = gateway
        elif (allow, deny) != self._backends:
            await self._gateway.update_backends(allow, deny)
        self._backends = (allow, deny)

    async def stop(self) -> None:
        """Let requests in flight finish, for a bounded time."""
        if self._gateway is not None:
            await self._gateway.stop(DRAIN_SECONDS)
