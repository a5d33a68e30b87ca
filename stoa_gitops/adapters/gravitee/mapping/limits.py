"""Steps that count requests: for `rate_limit`, `quota` and the plans of an API. Pure.

Gravitee counts by plan and subscription (without a key by address), plus `key`, per plugin and
path. So two limits of one plugin would share a counter, and each has a key of its own (contract
gravitee.md D). With `useKeyOnly` the key alone counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_step
from stoa_gitops.adapters.gravitee.mapping.losses import number_loss
from stoa_gitops.model.canonical import canonical_milliseconds, duration_ms
from stoa_gitops.model.losses import Loss

RATE_LIMIT: Final = "rate-limit"
QUOTA: Final = "quota"

_HEADER: Final = "header:"
_SECONDS: Final[Mapping[str, int]] = {
    "SECONDS": 1, "MINUTES": 60, "HOURS": 3600, "DAYS": 86_400, "WEEKS": 604_800,
}  # fmt: skip
_FIELDS: Final[Mapping[str, str]] = {RATE_LIMIT: "rate", QUOTA: "quota"}
PERIODS: Final[Mapping[str, str]] = {
    "hour": "HOURS", "day": "DAYS", "week": "WEEKS", "month": "MONTHS",
}  # fmt: skip

PLAN_RATES: Final[Mapping[str, tuple[str, str]]] = {
    "perSecond": (RATE_LIMIT, "SECONDS"), "perMinute": (RATE_LIMIT, "MINUTES"),
    "perDay": (QUOTA, "DAYS"), "perMonth": (QUOTA, "MONTHS"),
}  # fmt: skip
"""Field of a plan -> plugin and unit."""

_ADDRESS: Final = "{#request.remoteAddress}"
_OF_HEADER: Final = re.compile(r"\{#request\.headers\['([^']+)'\]\}")


def limit_step(
    name: str, requests: int, plugin: str, periods: int, unit: str, by: str, hrid: str
) -> JsonTree:
    """Return the step that counts `requests` in `periods` of `unit`.

    `by` is `consumer`, `ip` or `header:<name>`.
    """
    key = name
    if by == "ip":
        key = f"{hrid}.{name}.{_ADDRESS}"
    elif by.startswith(_HEADER):
        key = f"{hrid}.{name}.{{#request.headers['{by.removeprefix(_HEADER)}']}}"
    count = {
        "key": key,
        "useKeyOnly": by != "consumer",
        "limit": requests,
        "periodTime": periods,
        "periodTimeUnit": unit,
    }
    configuration = {_FIELDS[plugin]: count, "async": False, "addHeaders": True}
    return make_step(name, plugin, configuration)


def window_unit(window: str) -> tuple[str, int, str] | None:
    """Return plugin, number and unit for a window; None for one that is no whole second."""
    seconds, rest = divmod(duration_ms(window), 1000)
    if rest or seconds == 0:
        return None
    # rate-limit has no hours, and quota neither minutes nor seconds.
    for plugin, unit in ((QUOTA, "HOURS"), (RATE_LIMIT, "MINUTES"), (RATE_LIMIT, "SECONDS")):
        if seconds % _SECONDS[unit] == 0:
            return plugin, seconds // _SECONDS[unit], unit
    raise AssertionError("seconds divide every window")


def read_count(step: Mapping[str, Any]) -> tuple[int, str, int, str]:
    """Return requests, `by`, number and unit of a step; raises ValueError where it has none."""
    configuration = step.get("configuration") or {}
    count = configuration.get(_FIELDS.get(str(step.get("policy")), ""))
    if not isinstance(count, Mapping) or not isinstance(count.get("limit"), int):
        raise ValueError("the limit is computed by an expression")
    by, key = "consumer", str(count.get("key") or "")
    if count.get("useKeyOnly"):
        header = _OF_HEADER.search(key)
        by = f"{_HEADER}{header[1]}" if header else "ip"
        if header is None and _ADDRESS not in key:
            raise ValueError("it counts by an expression")
    unit = str(count.get("periodTimeUnit") or "SECONDS")
    return count["limit"], by, int(count.get("periodTime") or 1), unit


def read_window(periods: int, unit: str) -> str:
    """Return the window of a step as a canonical duration; raises ValueError for months."""
    if unit not in _SECONDS:
        raise ValueError(f"{unit} is no duration")
    return canonical_milliseconds(periods * _SECONDS[unit] * 1000)


def by_losses(by: str) -> Iterator[Loss]:
    """Yield what cannot be counted by."""
    if by == "tenant":
        yield Loss(
            "counting by tenant: Gravitee counts by subscription, address or header",
            at=("config", "by"),
        )
    # A quote would end the name in the expression.
    if by.startswith(_HEADER) and "'" in by:
        yield Loss(f"counting by the {by}: Gravitee cannot name it", at=("config", "by"))


def count_losses(config: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Gravitee does not count of a policy."""
    yield from by_losses(config["by"])
    loss = number_loss(config["requests"], "a number", "requests")
    if loss is not None:
        yield loss
    if "burst" in config:
        yield Loss(
            f"burst of {config['burst']}: Gravitee's windows have no second measure",
            is_partial=True,
            at=("config", "burst"),
        )
    if "algorithm" in config:
        message = f"{config['algorithm']}: Gravitee counts in fixed windows"
        yield Loss(message, is_partial=True, at=("config", "algorithm"))


def plan_steps(plan: Mapping[str, Any], hrid: str) -> list[JsonTree]:
    """Return the steps that enforce the limits of one plan."""
    return [
        limit_step(name, plan[name], plugin, 1, unit, "consumer", hrid)
        for name, (plugin, unit) in PLAN_RATES.items()
        if name in plan
    ]


def read_plan_rates(steps: list[JsonTree]) -> dict[str, int]:
    """Return the limits of a plan by field."""
    found: dict[str, int] = {}
    for step in steps:
        try:
            requests, _, periods, unit = read_count(step)
        except ValueError:
            continue
        for name, form in PLAN_RATES.items():
            if form == (step.get("policy"), unit) and periods == 1:
                found[name] = requests
    return found


def plan_losses(plans: list[Mapping[str, Any]]) -> Iterator[Loss]:
    """Yield what Gravitee does not do of plans."""
    names = [plan["name"] for plan in plans if "burst" in plan]
    if names:
        yield Loss(
            f"burst of the plan {', '.join(names)}: Gravitee's windows have no second measure",
            is_partial=True,
            at=("plans",),
        )
    for index, plan in enumerate(plans):
        for name in PLAN_RATES:
            loss = number_loss(plan.get(name, 0), f"{name} of the plan {plan['name']}", name)
            if loss is not None:
                yield Loss(loss.message, at=("plans", index, name))
