"""`rate_limit` as Gravitee's rate-limit policy, from an hour on as its quota policy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_flow, steps_of
from stoa_gitops.adapters.gravitee.mapping.limits import (
    QUOTA,
    RATE_LIMIT,
    count_losses,
    limit_step,
    read_count,
    read_window,
    window_unit,
)
from stoa_gitops.adapters.gravitee.mapping.losses import Inexpressible
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.losses import Loss

_TYPE: Final = "rate_limit"


def _write(definition: JsonTree, config: Config, place: Place) -> None:
    form = window_unit(config["window"])
    if form is None:
        raise Inexpressible(next(_losses(config)).message)
    step = limit_step(_TYPE, config["requests"], *form, config["by"], place.hrid)
    definition["flows"].append(make_flow(_TYPE, [step]))


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    # A foreign quota is the policy of that name.
    plugins = (RATE_LIMIT, QUOTA) if place.is_ours else (RATE_LIMIT,)
    for plugin in plugins:
        for step in steps_of(definition, "request", plugin, _TYPE, is_ours=place.is_ours):
            requests, by, periods, unit = read_count(step)
            return {"requests": requests, "window": read_window(periods, unit), "by": by}
    return None


def _stored(config: Config) -> JsonTree:
    return {name: config[name] for name in ("requests", "window", "by")}


def _losses(config: Config) -> Iterator[Loss]:
    if window_unit(config["window"]) is None:
        yield Loss(
            f"a window of {config['window']}: Gravitee counts whole seconds",
            at=("config", "window"),
        )
    yield from count_losses(config)


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    plugins=(RATE_LIMIT, QUOTA),
    rank=30,
    write=_write,
    read=_read,
    stored=_stored,
    losses=_losses,
)
