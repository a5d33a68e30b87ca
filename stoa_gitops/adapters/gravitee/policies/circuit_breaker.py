"""`circuit_breaker` as Gravitee's failover. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.marks import read_memory
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.backends import failover_of
from stoa_gitops.adapters.gravitee.mapping.losses import milliseconds_loss
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.losses import Loss

_TYPE: Final = "circuit_breaker"
_MOST: Final = 10_000
"""Failures that are asked for at most: the gateway keeps a ring of that many calls in memory."""


def _write(definition: JsonTree, config: Config, place: Place) -> None:
    failover = failover_of(definition, place.api)
    failover["maxFailures"] = config["failures"]
    failover["openStateDuration"] = duration_ms(config["reset"])


def _read(_: Mapping[str, Any], place: Place) -> JsonTree | None:
    held = read_memory(place.marks, _TYPE) if place.is_ours else None
    return held if isinstance(held, dict) else None


def _losses(config: Config) -> Iterator[Loss]:
    if config["failures"] > _MOST:
        yield Loss(
            f"{config['failures']} failures: at most {_MOST} are asked of Gravitee, which keeps "
            "that many calls in memory",
            at=("config", "failures"),
        )
    loss = milliseconds_loss(config["reset"], "a reset", ("config", "reset"))
    if loss is not None:
        yield loss
    yield Loss(
        f"the window of {config['window']}, and answers of 500 and more: Gravitee opens after that "
        "many lost connections and timeouts in a row, however far apart",
        is_partial=True,
    )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    rank=70,
    write=_write,
    read=_read,
    losses=_losses,
    has_memory=True,
    fields=("failover.maxFailures", "failover.openStateDuration"),
)
