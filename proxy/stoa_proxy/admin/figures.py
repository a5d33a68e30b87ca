"""What policies keep between requests, in the admin API: circuit breakers and the cache.

Paths and fields are those of STOA gateway 0.9.25 (`handlers/admin`), whose breakers are named by
their upstream; here by their API and backend, for each API has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stoa_proxy.core.circuit_breakers import Breaker, BreakerKey, CircuitBreakers
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.response_cache import ResponseCache

Answer = tuple[int, object]
Handlers = Mapping[str, Callable[[], Answer]]


def find_handlers(parts: Sequence[str], states: PolicyStates) -> Handlers | None:
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
