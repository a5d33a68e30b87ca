"""Limits as `throttle` actions, and back: so many requests in minutes, hours, days. Pure.

webMethods has no seconds: a limit by the second is written as one by the minute, which is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.actions import (
    LMT,
    Action,
    branch,
    leaf,
    value_at,
)
from stoa_gitops.adapters.webmethods.entities.parts import Consumers, JsonTree
from stoa_gitops.model.canonical import canonical_milliseconds, duration_ms
from stoa_gitops.model.losses import Loss

TEMPLATE: Final = "throttle"
EVERYBODY: Final = "all"
"""`consumerIds` of a limit on every caller (contract webmethods.md A.4, seen running)."""

PERIODS: Final[Mapping[str, str]] = {
    "hour": "hours", "day": "days", "week": "calendar_week", "month": "calendar_month",
}  # fmt: skip

PLAN_RATES: Final[Mapping[str, tuple[int, str]]] = {
    "perSecond": (60, "minutes"),
    "perMinute": (1, "minutes"),
    "perDay": (1, "days"),
    "perMonth": (1, "calendar_month"),
}
"""Field of a plan -> (factor, unit): one by the second is written by the minute."""

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_LARGEST: Final = 2**31 - 1
"""Java's int, which counters are taken to be."""


def throttle(
    source: str, requests: int, interval: int, unit: str, consumers: Sequence[str]
) -> Action:
    """Return the action that answers 429 to what is more than `requests` in an interval."""
    return Action(
        LMT,
        TEMPLATE,
        (
            branch(
                "throttleRule",
                leaf("throttleRuleName", "requestCount"),
                leaf("monitorRuleOperator", "GT"),
                leaf("value", requests),
            ),
            leaf("consumerIds", *consumers),
            leaf("consumerSpecificCounter", True),
            leaf("alertInterval", interval),
            leaf("alertIntervalUnit", unit),
            leaf("alertFrequency", "once"),
            leaf("alertMessage", f"{source}: too many requests"),
            branch("destination", leaf("destinationType", "GATEWAY")),
        ),
        source,
    )


def rate_of(requests: int, window: str) -> tuple[int, int, str]:
    """Return (requests, interval, unit) for a window; one that is no whole minutes is scaled."""
    milliseconds = duration_ms(window)
    if milliseconds < _MINUTE or milliseconds % _MINUTE:
        return max(requests * _MINUTE // max(milliseconds, 1), 1), 1, "minutes"
    for size, unit in ((_DAY, "days"), (_HOUR, "hours")):
        if milliseconds % size == 0:
            return requests, milliseconds // size, unit
    return requests, milliseconds // _MINUTE, "minutes"


def window_of(interval: int, unit: str) -> str:
    """Return the window of an interval; empty for a calendar's."""
    size = {"minutes": _MINUTE, "hours": _HOUR, "days": _DAY}.get(unit, 0)
    return canonical_milliseconds(interval * size) if size else ""


def plan_throttles(plans: Sequence[Mapping[str, Any]], consumers: Consumers) -> list[Action]:
    """Return the limits of plans; one that nobody subscribes to needs none, for nobody gets in."""
    found = []
    for plan in plans:
        members = consumers.get(plan["name"], ())
        for field, (factor, unit) in PLAN_RATES.items():
            if field in plan and members:
                source = f"plan {plan['name']} {field}"
                found.append(throttle(source, plan[field] * factor, 1, unit, members))
    return found


def plan_losses(plans: Sequence[Mapping[str, Any]]) -> Iterator[Loss]:
    """Yield what webMethods does not do of the limits of plans."""
    for index, plan in enumerate(plans):
        at = ("plans", index)
        if "perSecond" in plan:
            yield Loss(
                f"plan {plan['name']}: {plan['perSecond']} per second become "
                f"{plan['perSecond'] * 60} per minute, for webMethods does not count seconds",
                is_partial=True,
                at=(*at, "perSecond"),
            )
        if "burst" in plan:
            yield Loss(
                f"plan {plan['name']}: webMethods has no burst",
                is_partial=True,
                at=(*at, "burst"),
            )
        for field, (factor, _) in PLAN_RATES.items():
            if plan.get(field, 0) * factor > _LARGEST:
                message = f"plan {plan['name']}: {field} is more than webMethods counts"
                yield Loss(message, at=(*at, field))


def number_losses(requests: int, at: tuple[str | int, ...]) -> Iterator[Loss]:
    """Yield the loss of a number that webMethods does not count to."""
    if requests > _LARGEST:
        yield Loss(f"{requests} requests: webMethods counts to {_LARGEST}", at=at)


def read_throttle(action: Mapping[str, Any]) -> JsonTree | None:
    """Return `{requests, interval, unit}` of a throttle on everybody; None for another one."""
    parameters = action.get("parameters")
    consumers = value_at(parameters, "consumerIds").lower()
    requests = value_at(parameters, "throttleRule", "value")
    interval = value_at(parameters, "alertInterval")
    if consumers not in (EVERYBODY, "allconsumers", "anyconsumers"):
        return None
    if not (requests.isdecimal() and interval.isdecimal()):
        return None
    unit = value_at(parameters, "alertIntervalUnit")
    return {"requests": int(requests), "interval": int(interval), "unit": unit}
