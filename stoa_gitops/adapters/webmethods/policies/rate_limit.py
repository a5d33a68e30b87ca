"""`rate_limit` as a `throttle` on every application, by minutes, hours or days. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.webmethods.entities.actions import Action
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.limits import (
    EVERYBODY,
    TEMPLATE,
    number_losses,
    rate_of,
    read_throttle,
    throttle,
    window_of,
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

_TYPE: Final = "rate_limit"


def _write(config: Config, _: Place) -> list[Action]:
    requests, interval, unit = rate_of(config["requests"], config["window"])
    return [throttle(_TYPE, requests, interval, unit, [EVERYBODY])]


def _read(actions: HeldActions, _: GatewayInfo) -> JsonTree | None:
    for action in actions_of(actions, TEMPLATE):
        held = read_throttle(action)
        window = window_of(held["interval"], held["unit"]) if held is not None else ""
        if held is not None and window:
            return {"requests": held["requests"], "window": window, "by": "consumer"}
    return None


def _losses(config: Config) -> Iterator[Loss]:
    yield from counting_losses(config["by"], ("config", "by"))
    requests, interval, unit = rate_of(config["requests"], config["window"])
    yield from number_losses(requests, ("config", "requests"))
    if window_of(interval, unit) != config["window"]:
        yield Loss(
            f"{config['requests']} in {config['window']} become {requests} in "
            f"{window_of(interval, unit)}: webMethods counts whole minutes",
            is_partial=True,
            at=("config", "window"),
        )
    if "burst" in config:
        yield Loss("burst: webMethods has none", is_partial=True, at=("config", "burst"))
    if "algorithm" in config:
        message = f"{config['algorithm']}: webMethods counts in fixed windows"
        yield Loss(message, is_partial=True, at=("config", "algorithm"))


MAPPING: Final = PolicyMapping(policy_type=_TYPE, write=_write, read=_read, losses=_losses)
