"""What the modes of a gateway (`STOA_GATEWAY_MODE`) are made of.

`edge-mcp` and `proxy` serve the routes of a table; with an upstream of its own `proxy` forwards
what no route is for. A `sidecar` decides about requests that others serve. A `shadow` learns from
requests that others mirror.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from stoa_proxy.admin.store import Store
from stoa_proxy.config import UPSTREAM, ProxyConfig
from stoa_proxy.core.backend import Upstream, parse_upstream
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.model import Route
from stoa_proxy.errors import BackendInvalid, ConfigInvalid
from stoa_proxy.foundation.address_guard import EVERYWHERE, AddressGuard
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.pipeline.shadow_mode import Shadow
from stoa_proxy.pipeline.sidecar import Sidecar
from stoa_proxy.policies.registry import PolicyRegistry
from stoa_proxy.shadow.learner import Learner

DEFAULT_ROUTE: Final = "upstream"
"""Id and API of the route that a gateway in mode `proxy` has by its settings."""

DEFAULT_TENANT: Final = "default"
"""Whose it is, and whose the APIs are that a `shadow` proposes, without STOA_TENANT_ID."""


class Parts(NamedTuple):
    """What differs between modes: `guard` checks addresses that are configured over the admin API,
    `config` is that of the engine, `learner` is there in mode `shadow`.
    """

    pipeline: Pipeline
    store: Store
    guard: AddressGuard
    config: ProxyConfig
    learner: Learner | None = None


def make_parts(
    config: ProxyConfig,
    clock: Clock,
    policy_types: PolicyRegistry,
    counters: RateCounters | None = None,
) -> Parts:
    """Return the parts of a gateway in its mode; `counters` are those of its own else.

    Raises ConfigInvalid.
    """
    if counters is None:
        counters = RateCounters(
            clock, per_policy=config.counters_per_policy, per_tenant=config.counters_per_tenant
        )
    policy_types = policy_types.with_realm(config.realm)
    if config.mode == "shadow":
        learner = Learner()
        _check_backend(config)
        pipeline = Shadow(clock, counters, learner)
        return Parts(pipeline, Store(policy_types), config.guard(), config, learner)
    if config.mode != "sidecar":
        store = Store(policy_types, _default_route(config))
        return Parts(Pipeline(clock, counters), store, config.guard(), config)
    return Parts(
        Sidecar(clock, counters, config.callers(), config.proxies()),
        Store(policy_types.for_decisions()),
        # Backends are called by those who ask; here their addresses are only names of routes.
        AddressGuard(EVERYWHERE),
        # Whoever asks does so for many clients: the bounds of one client are not for it.
        replace(config, trusted_proxies=(*config.trusted_proxies, *config.authz_callers)),
    )


def _default_route(config: ProxyConfig) -> Route | None:
    """Return what takes requests that no route is for. Raises ConfigInvalid."""
    backend = _check_backend(config)
    if backend is None:
        return None
    return Route(
        DEFAULT_ROUTE,
        DEFAULT_ROUTE,
        config.tenant_id or DEFAULT_TENANT,
        DEFAULT_ROUTE,
        (),
        backend,
        strip_path=False,
        timeout=config.upstream_timeout,
    )


def _check_backend(config: ProxyConfig) -> Upstream | None:
    """Return the upstream that is set. Raises ConfigInvalid."""
    if config.upstream_url is None:
        return None
    # Of a mode that calls nothing the address is only written down.
    guard = AddressGuard(EVERYWHERE) if config.mode == "shadow" else config.guard()
    try:
        return parse_upstream(config.upstream_url, guard)
    except BackendInvalid as error:
        advice = "; STOA_BACKENDS_ALLOW names networks that may be called" if error.private else ""
        raise ConfigInvalid(f"{UPSTREAM}: {error.detail}{advice}") from None
