"""What an engine tells of connections and requests, in `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from stoa_proxy.engines.complete.request_shares import RequestShares
from stoa_proxy.engines.complete.upstream.client import UpstreamClient
from stoa_proxy.foundation.connection_shares import Excess
from stoa_proxy.foundation.metrics import Metrics


def add_figures(
    metrics: Metrics,
    shares: RequestShares,
    client: UpstreamClient,
    count_clients: Callable[[], int],
    refused: Callable[[], Iterable[tuple[Excess, int]]],
) -> None:
    """Serve how many connections and requests there are, and how many were refused."""
    add = metrics.add
    add("gauge", "stoa_client_connections", "Client connections.", count_clients)
    add(
        "gauge",
        "stoa_requests_in_flight",
        "Requests that wait, or are being answered.",
        lambda: sum(shares.tenants.counts.values()),
    )
    for name, text, counts in (
        ("tenant", "Requests in flight of the tenant that has most.", shares.tenants.counts),
        ("upstream", "Requests in flight to the upstream that has most.", client.in_flight.counts),
    ):
        read = partial(_most, counts)
        add("gauge", f"stoa_requests_in_flight_of_one_{name}", text, read, "max")
    for state, text in (
        ("active", "Connections to upstreams that carry a request."),
        ("idle", "Connections to upstreams that are kept for more."),
    ):
        read = partial(_pooled, client, is_idle=state == "idle")
        add("gauge", f"gateway_pool_connections_{state}", text, read)
    add(
        "counter",
        "stoa_share_refusals_total",
        "Connections and requests that were refused by the bound of a share.",
        lambda: [
            *(({"bound": f"connections-{bound.value}"}, n) for bound, n in refused()),
            ({"bound": "requests-tenant"}, shares.tenants.refused),
            ({"bound": "requests-client"}, shares.clients.refused),
            ({"bound": "requests-upstream"}, client.in_flight.refused),
            ({"bound": "lookups-tenant"}, client.lookups.refused if client.lookups else 0),
        ],
    )


def _most(counts: Mapping[Any, int]) -> int:
    return max(counts.values(), default=0)


def _pooled(client: UpstreamClient, *, is_idle: bool) -> int:
    pool = client.pool
    if pool is None:
        return 0
    return pool.idle if is_idle else pool.users
