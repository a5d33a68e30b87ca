"""The data plane in this process, started for the first gateway with `baseUrl: embedded`."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.errors import ListenFailed as ProxyListenFailed

from stoa_gitops.adapter_sdk.info import InProcessAdmin
from stoa_gitops.daemon.listeners import ListenFailed
from stoa_gitops.model.instances import GatewayInstance

PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""Networks in which a company's backends live: RFC 1918, RFC 6598 (shared), RFC 4193 (local).

The catalog's rule denies loopback, link-local, multicast and unspecified addresses only, so the
embedded gateway lets these through.
"""

DRAIN_SECONDS = 5.0
"""How long requests in flight may take after a stop; docs/operations.md promises it."""


class EmbeddedGateway:
    """Owns the data plane's listener.

    token     of its admin API: new for each process, and never logged
    is_ready  decides its `/ready`: a routing table that was not filled yet must not get traffic
    config    has the bounds of what clients and tenants may take; all else is set here
    """

    def __init__(
        self,
        host: str,
        port: int,
        is_ready: Callable[[], bool] = lambda: True,
        config: ProxyConfig | None = None,
    ) -> None:
        self._is_ready = is_ready
        self._config = replace(config or ProxyConfig(), host=host, port=port)
        self.token = secrets.token_urlsafe(32)
        self._gateway: Gateway | None = None
        self._lock = asyncio.Lock()
        self._backends: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    @property
    def base_url(self) -> str:
        """The base URL of its listener; empty while it is not started."""
        return self._gateway.base_url if self._gateway else ""

    @property
    def admin(self) -> InProcessAdmin | None:
        """Its admin API as a function call, without its listener; None while it is not started."""
        return self._gateway.administer if self._gateway else None

    async def serve(self, instance: GatewayInstance) -> None:
        """Start it if it is not running, and apply the instance's rules for backend addresses.

        Raises ListenFailed.
        """
        async with self._lock:
            await self._serve((*PRIVATE_NETWORKS, *instance.backends_allow), instance.backends_deny)

    async def _serve(self, allow: tuple[str, ...], deny: tuple[str, ...]) -> None:
        if self._gateway is None:
            config = replace(
                self._config,
                admin_api_token=self.token,
                backends_allow=allow,
                backends_deny=deny,
            )
            gateway = Gateway(config)
            gateway.set_ready(self._is_ready)
            try:
                # An empty context: connections of the listener inherit it, and their log lines must
                # not carry the id of the cycle that happened to start it.
                await asyncio.create_task(gateway.start(), context=Context())
            except ProxyListenFailed as error:
                raise ListenFailed(f"{error}; --gateway-listen chooses another address") from error
            self._gateway = gateway
        elif (allow, deny) != self._backends:
            await self._gateway.update_backends(allow, deny)
        self._backends = (allow, deny)

    async def ask(self, path: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Return the status and the JSON of a GET of the admin API; 501 without a gateway."""
        if self._gateway is None:
            return 501, {}
        headers = {"Authorization": f"Bearer {self.token}"}
        target = f"{path}?{urlencode(query)}"
        status, _, parts = await self._gateway.administer("GET", target, headers, b"")
        document: Mapping[str, Any] = json.loads(b"".join([part async for part in parts]))
        return status, document

    async def stop(self) -> None:
        """Stop listening; requests in flight have DRAIN_SECONDS."""
        if self._gateway is not None:
            await self._gateway.stop(DRAIN_SECONDS)
