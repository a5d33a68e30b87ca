"""`request_size` as Gravitee's request-content-limit policy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_flow, make_step, steps_of
from stoa_gitops.adapters.gravitee.mapping.losses import number_loss
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.canonical import canonical_size, size_bytes
from stoa_gitops.model.losses import Loss

_TYPE: Final = "request_size"
_PLUGIN: Final = "request-content-limit"


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    step = make_step(_TYPE, _PLUGIN, {"limit": size_bytes(config["max"])})
    definition["flows"].append(make_flow(_TYPE, [step]))


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    for step in steps_of(definition, "request", _PLUGIN, _TYPE, is_ours=place.is_ours):
        return {"max": canonical_size(int((step.get("configuration") or {})["limit"]))}
    return None


def _losses(config: Config) -> Iterator[Loss]:
    loss = number_loss(size_bytes(config["max"]), "bytes", "max")
    if loss is not None:
        yield loss
    yield Loss(
        "bodies without a length: Gravitee answers 411 to them, however short", is_partial=True
    )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE, plugins=(_PLUGIN,), rank=20, write=_write, read=_read, losses=_losses
)
