"""What is kept between requests, in the admin API: circuit breakers, the cache, backends.

Paths and fields are those of STOA gateway 0.9.25 (`handlers/admin`), whose breakers are named by
their upstream; here by their API and backend, for each API has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stoa_proxy.core.backend_health import BackendHealth, Owner
from stoa_proxy.core.balancers import Balancers
from stoa_proxy.core.circuit_breakers import Breaker, BreakerKey, CircuitBreakers
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.response_cache import ResponseCache
from stoa_proxy.core.table import RoutingTable

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
        (_breaker_stats(_name(key), breaker) for key, breaker in breakers),
        key=lambda stats: str(stats["name"]),
    )


def _breaker_stats(name: str, breaker: Breaker) -> dict[str, object]:
    return {
        "name": name,
        "state": breaker.state,
        "success_count": breaker.success_count,
        "failure_count": breaker.failure_count,
        "failures_in_window": breaker.failures_in_window,
        "open_count": breaker.open_count,
        "rejected_count": breaker.rejected_count,
    }


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
    return 200, {"responses": len(cache), "bytes": cache.size, "requests": dict(cache.results)}


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
