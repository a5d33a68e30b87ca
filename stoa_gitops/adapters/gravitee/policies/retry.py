"""`retry` as Gravitee's failover, which `circuit_breaker` and `backend.retries` share. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.marks import read_memory
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.backends import failover_of
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.losses import Loss

_TYPE: Final = "retry"
_KNOWN: Final = frozenset({"connect", "timeout"})


def _write(definition: JsonTree, config: Config, place: Place) -> None:
    failover_of(definition, place.api)["maxRetries"] = config["attempts"]


def _read(_: Mapping[str, Any], place: Place) -> JsonTree | None:
    held = read_memory(place.marks, _TYPE) if place.is_ours else None
    return held if isinstance(held, dict) else None


def _losses(config: Config) -> Iterator[Loss]:
    others = [str(one) for one in config["on"] if one not in _KNOWN]
    if others:
        yield Loss(
            f"after {', '.join(others)}: Gravitee's failover tries again after a lost connection "
            "and a timeout alone",
            is_partial=True,
            at=("config", "on"),
        )
    yield Loss(
        f"a backoff of {config['backoff']}, and requests that must not come twice: Gravitee's "
        "failover tries every request again at once",
        is_partial=True,
    )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    rank=71,
    write=_write,
    read=_read,
    losses=_losses,
    has_memory=True,
    fields=("failover.maxRetries",),
)
