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
_HAS_BODY: Final = (
    "{#request.headers['Content-Length'] != null || #request.headers['Transfer-Encoding'] != null"
    " || !(#request.method matches 'GET|HEAD|OPTIONS|DELETE')}"
)
"""Where the step runs: the plugin answers 411 to every request without a length, and clients send
none with a GET (1.8.1, seen on 4.10.8). Chunked bodies it counts."""


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    step = make_step(_TYPE, _PLUGIN, {"limit": size_bytes(config["max"])}, _HAS_BODY)
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
        "requests of methods that have a body, and neither a length nor a chunked body: Gravitee "
        "answers 411 to them",
        is_partial=True,
    )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE, plugins=(_PLUGIN,), rank=20, write=_write, read=_read, losses=_losses
)
