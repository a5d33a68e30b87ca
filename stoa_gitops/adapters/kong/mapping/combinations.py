"""What Kong cannot do of an API together with its policies, though it could do each alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.mapping.balancing import has_probe_of_one_name
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.rate_limiting import TYPES, limits_of
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.losses import Loss

EITHER_CREDENTIAL: Final = (
    "Kong would ask each caller for a key and for a token: leave one of the two policies out, or "
    "make two APIs"
)
_LIMITING_RATES: Final = ("perSecond", "perMinute", "perDay", "perMonth")
_CREDENTIALS: Final = frozenset({"api_key", "jwt"})


def combined_losses(api: Spec, policies: Mapping[str, Spec]) -> tuple[Loss, ...]:
    """Return the losses of an API with its policies by type, beside those that each has alone."""
    # Nearly no API has one of these pairs, and parsing those of 10,000 takes a quarter of a second.
    if not _may_clash(api.raw, policies.keys()):
        return ()
    configs: dict[str, Any] = {name: spec.value["config"] for name, spec in policies.items()}
    return tuple(losses_of_pairs(api.value, configs))


def _may_clash(api: bytes, types: Collection[str]) -> bool:
    has_credentials = _CREDENTIALS.issubset(types)
    has_limits = TYPES[0] in types or TYPES[1] in types
    is_limited_twice = TYPES[0] in types and TYPES[1] in types
    has_plans = b'"plans":[]' not in api
    edits_credential = "headers" in types and b'"auth":' in api
    answers_preflights = "cors" in types and b'"methods":["' in api
    is_checked_at_several = "circuit_breaker" in types and b'"targets":' in api
    return (
        has_credentials
        or is_checked_at_several
        or is_limited_twice
        or (has_limits and has_plans)
        or edits_credential
        or answers_preflights
    )


def losses_of_pairs(
    api: Mapping[str, Any] | None, configs: Mapping[str, Mapping[str, Any]]
) -> Iterator[Loss]:
    """Yield the losses of an API (None where it is not known) with the configs of its policies."""
    if configs.keys() >= _CREDENTIALS:
        yield Loss(f"api_key together with jwt: {EITHER_CREDENTIAL}", at=("policies", "jwt"))
    # Kong's plugin answers OPTIONS with Origin and Access-Control-Request-Method, and nothing else,
    # whatever its `preflight_continue` (kong/plugins/cors/handler.lua, `access`).
    if "cors" in configs and any(
        route["methods"] and "OPTIONS" not in route["methods"]
        for route in (api["routes"] if api else ())
    ):
        yield Loss(
            "OPTIONS for preflights alone: Kong's routes take OPTIONS for cors, and other requests "
            "with it reach the backend, too",
            is_partial=True,
            at=("policies", "cors"),
        )
    if api and "circuit_breaker" in configs and has_probe_of_one_name(api["backend"]):
        yield Loss(
            "circuit_breaker of several https backends: Kong's probes ask all of them by one name",
            at=("policies", "circuit_breaker"),
        )
    yield from _limit_losses(api["plans"] if api else (), configs)
    auth = api["backend"].get("auth") if api else None
    if auth is not None and auth.get("in") == "header" and "headers" in configs:
        edits = configs["headers"].get("request", {})
        edited = {name.lower() for step in ("set", "add", "remove") for name in edits.get(step, ())}
        if auth["name"].lower() in edited:
            yield Loss(
                f"headers edits {auth['name']}, which carries the backend's credential",
                at=("policies", "headers"),
            )


def _limit_losses(
    plans: Collection[Mapping[str, Any]], configs: Mapping[str, Mapping[str, Any]]
) -> Iterator[Loss]:
    counting = {configs[name]["by"] for name in TYPES if name in configs}
    is_limited = any(rate in plan for plan in plans for rate in _LIMITING_RATES)
    if is_limited and counting - {"consumer"}:
        yield Loss(
            "plans with limits beside a limit by address or header: on Kong the plan's alone would "
            "count",
            at=("policies", next(name for name in TYPES if name in configs)),
        )
    try:
        if len(counting) > 1 or all(name in configs for name in TYPES):
            limits_of(configs)
    except Inexpressible as error:
        yield Loss(str(error), at=("policies", "quota"))
