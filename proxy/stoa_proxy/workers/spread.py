"""Admin requests about what each worker keeps for itself: asked of all, and made one response."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from stoa_proxy.admin.figures import SEVERITY, contract_figures
from stoa_proxy.core.problems import Respond, problem

_TRACE: Final = "/admin/trace"
_NOBODY: Final = problem(503, "Service unavailable", "No worker responds.")
_KEPT: Final = (
    "/admin/circuit-breaker", "/admin/circuit-breakers", "/admin/cache", "/admin/backends",
)  # fmt: skip

Value = Any


def is_spread(target: str) -> bool:
    """Whether workers are asked for the response."""
    path = target.partition("?")[0]
    return path == _TRACE or any(path == one or path.startswith(f"{one}/") for one in _KEPT)


def is_for_one(target: str) -> bool:
    """Whether one worker is asked, whichever."""
    return target.partition("?")[0] == _TRACE


def merge_responses(target: str, responses: Sequence[Respond]) -> Respond:
    """Return one response for those of all workers: what was found wins over what was not."""
    if not responses:
        return _NOBODY
    found = [one for one in responses if one.status < 300]
    if not found:
        return responses[0]
    merge = _MERGES.get(target.partition("?")[0])
    if merge is None or len(found) == 1:
        return found[0]
    value = merge([json.loads(one.body) for one in found])
    content = json.dumps(value, separators=(",", ":")).encode()
    return Respond(200, found[0].headers, content)


def _merge_breakers(lists: Sequence[Value]) -> Value:
    """Add up what breakers of one name did; their state is that of the one that refuses most."""
    merged: dict[str, dict[str, Any]] = {}
    for one in (breaker for breakers in lists for breaker in breakers):
        held = merged.setdefault(one["name"], {**dict.fromkeys(one, 0), "state": "closed"})
        for field, value in one.items():
            if isinstance(value, int):
                held[field] += value
        held["state"] = max(held["state"], one["state"], key=SEVERITY.index)
        held["name"] = one["name"]
    return [merged[name] for name in sorted(merged)]


def _merge_stats(values: Sequence[Value]) -> Value:
    return _merge_breakers([[value] for value in values])[0]


def _merge_resets(values: Sequence[Value]) -> Value:
    previous = max((value["previous_state"] for value in values), key=SEVERITY.index)
    return {**values[0], "previous_state": previous}


def _merge_cache(values: Sequence[Value]) -> Value:
    """Add up what workers keep; the rate follows from the sums."""
    total = _add_up(values)
    return {**total, **contract_figures(total["responses"], total["requests"])}


def _merge_backends(lists: Sequence[Value]) -> Value:
    """Add up requests of one backend of a route; it is well where all workers find it well."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for one in (backend for backends in lists for backend in backends):
        held = merged.setdefault((one["route_id"], one["url"]), dict(one))
        if held == one:
            continue
        held["healthy"] = held["healthy"] and one["healthy"]
        held["trouble"] = held["trouble"] or one["trouble"]
        for field in ("consecutive_failures", "ejected_seconds"):
            held[field] = max(held[field], one[field])
    for (route_id, url), held in merged.items():
        ones = [
            one
            for backends in lists
            for one in backends
            if (one["route_id"], one["url"]) == (route_id, url)
        ]
        for field in ("selections", "in_flight"):
            held[field] = sum(one[field] for one in ones)
    return list(merged.values())


def _add_up(values: Sequence[Value]) -> Value:
    """Add up numbers of objects that have the same fields."""
    total: dict[str, Any] = {}
    for value in values:
        for field, number in value.items():
            if isinstance(number, Mapping):
                total[field] = _add_up([total.get(field, {}), number])
            else:
                total[field] = total.get(field, 0) + number
    return total


def _merge_removed(values: Sequence[Value]) -> Value:
    """Add up how many responses were removed."""
    removed = sum(int(value["message"].split()[0]) for value in values)
    return {**values[0], "message": f"{removed} responses removed"}


_MERGES: Mapping[str, Callable[[Sequence[Value]], Value]] = {
    "/admin/circuit-breakers": _merge_breakers,
    "/admin/backends": _merge_backends,
    "/admin/circuit-breaker/stats": _merge_stats,
    "/admin/circuit-breaker/reset": _merge_resets,
    "/admin/cache/stats": _merge_cache,
    "/admin/cache/clear": _merge_removed,
}
