"""`quota` as a `throttle` by hours, days, or the calendar's weeks and months. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.webmethods.entities.actions import Action
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.limits import (
    EVERYBODY,
    PERIODS,
    TEMPLATE,
    number_losses,
    read_throttle,
    throttle,
)
from stoa_gitops.adapters.webmethods.mapping.losses import counting_losses
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import (
    Config,
    HeldActions,
    Place,
    PolicyMapping,
    actions_of,
)
from stoa_gitops.model.losses import Loss

_TYPE: Final = "quota"
_CALENDAR: Final = {"calendar_week": "week", "calendar_month": "month"}


def _write(config: Config, _: Place) -> list[Action]:
    return [throttle(_TYPE, config["requests"], 1, PERIODS[config["period"]], [EVERYBODY])]


def _read(actions: HeldActions, _: GatewayInfo) -> JsonTree | None:
    for action in actions_of(actions, TEMPLATE):
        held = read_throttle(action)
        if held is not None and held["unit"] in _CALENDAR and held["interval"] == 1:
            period = _CALENDAR[held["unit"]]
            return {"requests": held["requests"], "period": period, "by": "consumer"}
    return None


def _losses(config: Config) -> Iterator[Loss]:
    yield from counting_losses(config["by"], ("config", "by"))
    yield from number_losses(config["requests"], ("config", "requests"))
    if config["period"] in ("hour", "day"):
        yield Loss(
            f"a quota by the {config['period']}: webMethods counts from the first request on, not "
            "by the calendar",
            is_partial=True,
            at=("config", "period"),
        )


MAPPING: Final = PolicyMapping(policy_type=_TYPE, write=_write, read=_read, losses=_losses)
