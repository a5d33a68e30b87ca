"""What is kept between requests, in the admin API: circuit breakers, the cache, backends.

Paths and fields are those of STOA gateway 0.9.25 (`handlers/admin`), whose breakers are named by
their upstream; here by their API and backend, for each API has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stoa_proxy.core.backend_health import BackendHealth, Owner
from stoa_proxy.core.balancers import Balancers
from stoa_proxy.core.circuit_breakers import Breaker, BreakerKey, CircuitBreakers
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.response_cache import ResponseCache
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.foundation.clock import Clock

SEVERITY: Final = ("closed", "half_open", "open")
"""States of breakers, by how much they refuse."""

ALL_BREAKERS: Final = "all"
"""The name under which all breakers are shown as one."""

_HITS: Final = ("hit", "collapsed", "revalidated", "stale")

Answer = tuple[int, object]
Handlers = Mapping[str, Callable[[], Answer]]


def find_handlers(
    parts: Sequence[str], states: PolicyStates, table: RoutingTable
) -> Handlers | None:
    """Return what serves a path below `/admin`, by method; None for one that is not here.

    Answers are a status and a value that is sent as JSON.
    """
    match tuple(parts):
        case ("circuit-breakers",):
            return {"GET": lambda: _list_breakers(states.of(CircuitBreakers))}
        case ("circuit-breakers", name, "reset"):
            return {"POST": lambda: _reset_breaker(states.of(CircuitBreakers), name)}
        case ("circuit-breaker", "stats"):
            return {"GET": lambda: (200, _sum_breakers(states.of(CircuitBreakers)))}
        case ("circuit-breaker", "reset"):
            return {"POST": lambda: _reset_all(states.of(CircuitBreakers))}
        case ("cache", "stats"):
            return {"GET": lambda: _cache_stats(states.of(ResponseCache))}
        case ("cache", "clear"):
            return {"POST": lambda: _clear_cache(states.of(ResponseCache))}
        case ("backends",):
            return {"GET": lambda: _list_backends(states, table)}
    return None


def _name(key: BreakerKey) -> str:
    return f"{key.api_id} {key.origin}"


def _list_breakers(breakers: CircuitBreakers) -> Answer:
    return 200, sorted(
        (_breaker_stats(_name(key), breaker, breakers.clock) for key, breaker in breakers),
        key=lambda stats: str(stats["name"]),
    )


def _breaker_stats(name: str, breaker: Breaker, clock: Clock) -> dict[str, object]:
    return {
        "name": name,
        "state": breaker.state,
        "success_count": breaker.success_count,
        "failure_count": breaker.failure_count,
        "failures_in_window": breaker.failures_at(clock.monotonic()),
        "open_count": breaker.open_count,
        "rejected_count": breaker.rejected_count,
    }


def _sum_breakers(breakers: CircuitBreakers) -> dict[str, object]:
    """Return what all breakers did together; their state is that of the one that refuses most."""
    now, found = breakers.clock.monotonic(), [breaker for _, breaker in breakers]
    return {
        "name": ALL_BREAKERS,
        "state": max((one.state for one in found), key=SEVERITY.index, default="closed"),
        "success_count": sum(one.success_count for one in found),
        "failure_count": sum(one.failure_count for one in found),
        "failures_in_window": sum(one.failures_at(now) for one in found),
        "open_count": sum(one.open_count for one in found),
        "rejected_count": sum(one.rejected_count for one in found),
    }


def _reset_all(breakers: CircuitBreakers) -> Answer:
    previous = _sum_breakers(breakers)["state"]
    for _, breaker in breakers:
        breaker.close()
    return 200, {
        "status": "ok", "previous_state": previous, "new_state": "closed",
        "message": "Circuit breaker reset to closed",
    }  # fmt: skip


def _reset_breaker(breakers: CircuitBreakers, name: str) -> Answer:
    found = [breaker for key, breaker in breakers if _name(key) == name]
    if not found:
        message = f"Circuit breaker '{name}' not found"
        return 404, {"status": "error", "message": message, "name": name}
    previous = found[0].state
    for breaker in found:
        breaker.close()
    message = f"Circuit breaker '{name}' reset"
    return 200, {
        "status": "ok", "previous_state": previous, "new_state": "closed", "message": message,
        "name": name,
    }  # fmt: skip


def _cache_stats(cache: ResponseCache) -> Answer:
    requests = dict(cache.results)
    return 200, {
        "responses": len(cache), "bytes": cache.size, "requests": requests,
        **contract_figures(len(cache), requests),
    }  # fmt: skip


def contract_figures(responses: int, requests: Mapping[str, int]) -> dict[str, object]:
    """Return the fields that STOA gateway 0.9.25 shows of a cache.

    A hit was answered without a whole response of the backend. What passes by is neither.
    """
    hits = sum(requests[name] for name in _HITS)
    misses = requests["miss"]
    rate = hits / (hits + misses) if hits + misses else 0.0
    return {"entry_count": responses, "hits": hits, "misses": misses, "hit_rate": round(rate, 4)}


def _clear_cache(cache: ResponseCache) -> Answer:
    removed = cache.clear()
    return 200, {"status": "ok", "message": f"{removed} responses removed"}


def _list_backends(states: PolicyStates, table: RoutingTable) -> Answer:
    """Return each backend of routes that have several, by route and in their order."""
    health, balancers = states.of(BackendHealth), states.of(Balancers)
    found: list[object] = []
    for route_id in sorted(table.balanced):
        route = table.balanced[route_id]
        assert route.balancing is not None, "only those are here"
        balancer = balancers.of(route, route.balancing)
        rows = zip(route.balancing.targets, balancer.probed, balancer.selections, strict=True)
        for target, probed, selections in rows:
            backend = target.backend
            figures = health.figures(Owner(route.tenant_id, route.api_id), probed, backend)
            key = (route.tenant_id, backend.host, backend.port)
            found.append(
                {
                    "route_id": route_id,
                    "api_id": route.api_id,
                    "tenant_id": route.tenant_id,
                    "url": backend.url,
                    "weight": target.weight,
                    "healthy": figures.is_healthy,
                    "trouble": figures.trouble,
                    "consecutive_failures": figures.failures,
                    "ejected_seconds": round(figures.ejected_seconds, 3),
                    "selections": selections,
                    "in_flight": balancers.loads.get(key, 0),
                }
            )
    return 200, found
