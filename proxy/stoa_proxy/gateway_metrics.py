"""The metrics of a gateway beside those of its requests (docs/data-plane-admin.md)."""

from __future__ import annotations

from functools import partial

from stoa_proxy.admin.api import own_version
from stoa_proxy.admin.store import Store
from stoa_proxy.foundation.allocator import resident_bytes
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.loop_lag import LoopLag
from stoa_proxy.pipeline.backend_choice import BACKEND_STATES
from stoa_proxy.pipeline.decide import Pipeline


def add_metrics(pipeline: Pipeline, store: Store, mode: str, lag: LoopLag, clock: Clock) -> None:
    """Serve the figures of a gateway, and those of its policies."""
    add = pipeline.metrics.add
    _add_table(pipeline, store)
    _add_process(pipeline, mode, lag, clock)
    usage = pipeline.usage
    usage.series.is_known = store.has_api
    for family in usage.families(mode):
        add(*family, "here", is_private=True)
    pipeline.metrics.add_histograms(
        "stoa_api_request_duration_seconds",
        "From the request's head to the response's end, by API.",
        partial(usage.histograms, mode),
    )
    if pipeline.snapshots is not None:
        for kept_family in pipeline.snapshots.kept.families():
            add(*kept_family)
    of_policies = (kind for one in store.policy_types.types for kind in one.states)
    for kind in dict.fromkeys((*BACKEND_STATES, *of_policies)):
        for state_family in pipeline.states.of(kind).families():
            add(*state_family)


def _add_process(pipeline: Pipeline, mode: str, lag: LoopLag, clock: Clock) -> None:
    started, add = clock.monotonic(), pipeline.metrics.add
    info = {"deployment_mode": mode, "version": own_version()}
    add("gauge", "stoa_gateway_info", "This gateway; always 1.", lambda: [(info, 1)], "here")
    add(
        "gauge", "stoa_uptime_seconds", "Since the start of this gateway.",
        lambda: clock.monotonic() - started, "here",
    )  # fmt: skip
    add(
        "gauge", "stoa_loop_lag_seconds",
        "How late the event loop was: the last sample, and the worst of a minute.",
        lag.read, "max",
    )  # fmt: skip
    add("gauge", "gateway_memory_usage_bytes", "Resident memory of the process.", resident_bytes)


def _add_table(pipeline: Pipeline, store: Store) -> None:
    add, counters = pipeline.metrics.add, pipeline.counters
    for name, text, count in (
        ("stoa_route_reload_routes_loaded", "Routes of the table.", lambda: len(store.routes)),
        ("stoa_policies_loaded", "Policies of the table.", lambda: len(store.policies)),
        (
            "stoa_policies_unattached", "Policies that name no route.",
            lambda: len(store.unattached_policies()),
        ),
        ("stoa_consumers_loaded", "Consumers of the table.", lambda: len(store.consumers)),
    ):  # fmt: skip
        add("gauge", name, text, count, "here")
    add("gauge", "stoa_rate_limit_buckets", "Counters of rate limits.", lambda: len(counters))
    add(
        "counter", "stoa_rate_limit_shared_total", "Requests whose callers shared a counter.",
        lambda: sum(one.shared_requests for one in counters.figures()),
    )  # fmt: skip
