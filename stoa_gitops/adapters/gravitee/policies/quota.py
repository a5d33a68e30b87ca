"""`quota` as Gravitee's quota policy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_flow, steps_of
from stoa_gitops.adapters.gravitee.mapping.limits import (
    PERIODS,
    QUOTA,
    count_losses,
    limit_step,
    read_count,
)
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.losses import Loss

_TYPE: Final = "quota"
_NAMES: Final = {unit: period for period, unit in PERIODS.items()}


def _write(definition: JsonTree, config: Config, place: Place) -> None:
    unit = PERIODS[config["period"]]
    step = limit_step(_TYPE, config["requests"], QUOTA, 1, unit, config["by"], place.hrid)
    definition["flows"].append(make_flow(_TYPE, [step]))


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    for step in steps_of(definition, "request", QUOTA, _TYPE, is_ours=place.is_ours):
        requests, by, periods, unit = read_count(step)
        if periods != 1 or unit not in _NAMES:
            raise ValueError(f"a quota of {periods} {unit}")
        return {"requests": requests, "period": _NAMES[unit], "by": by}
    return None


def _losses(config: Config) -> Iterator[Loss]:
    yield from count_losses(config)
    yield Loss(
        f"the calendar of a {config['period']}: Gravitee begins a period with the first request",
        is_partial=True,
        at=("config", "period"),
    )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE, plugins=(QUOTA,), rank=31, write=_write, read=_read, losses=_losses
)
