"""Requests in flight, so that one tenant or client leaves places for others."""

from __future__ import annotations

import logging

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.foundation.client_network import client_network
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.in_flight import InFlight
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.engine")

_RETRY = [("Retry-After", "1")]
_TITLE = "Too many requests in flight"
_TENANT_FULL = problem(503, _TITLE, "The tenant of this API has all that it may have.", _RETRY)
_CLIENT_FULL = problem(429, _TITLE, "Your address has all that one may have.", _RETRY)


class RequestShares:
    """Counts requests by tenant and, where a trusted proxy forwards them, by client.

    With `capacity` busy tenants get equal parts of it while most of it is in flight. Other clients
    have one request in flight for each of their connections, which are bounded.
    """

    def __init__(
        self, per_tenant: int, per_client: int, clock: Clock, capacity: int | None = None
    ) -> None:
        self.tenants: InFlight[str] = InFlight(
            per_tenant, "requests that one tenant may have", ThrottledLog(_log, clock), capacity
        )
        self.clients: InFlight[str] = InFlight(
            per_client, "requests that one client may have", ThrottledLog(_log, clock)
        )

    def enter(self, context: RequestContext, peer: str) -> Respond | None:
        """Count a request that came from the address `peer`, or return why it is refused."""
        tenant = context.route.tenant_id
        if not self.tenants.enter(tenant):
            return _TENANT_FULL
        client = context.head.client_address
        if client != peer and not self.clients.enter(client_network(client)):
            self.tenants.leave(tenant)
            return _CLIENT_FULL
        return None

    def leave(self, context: RequestContext, peer: str) -> None:
        """Count a request no more, after an `enter` that returned None."""
        self.tenants.leave(context.route.tenant_id)
        client = context.head.client_address
        if client != peer:
            self.clients.leave(client_network(client))
