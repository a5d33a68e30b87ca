"""`request_size` as Kong's request-size-limiting plugin. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.versions import COUNTED_CHUNKS
from stoa_gitops.adapters.kong.mapping.losses import number_loss
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, single_plugin
from stoa_gitops.model.canonical import canonical_size, size_bytes
from stoa_gitops.model.losses import Loss

_UNITS: Final = {"bytes": 1, "kilobytes": 1 << 10, "megabytes": 1 << 20}


def _write(config: Config, _: NodeInfo) -> JsonTree:
    return {"allowed_payload_size": size_bytes(config["max"]), "size_unit": "bytes"}


def _read(config: Config) -> JsonTree:
    # 128 megabytes are Kong's defaults.
    unit = _UNITS.get(config.get("size_unit", "megabytes"), 1)
    size = config.get("allowed_payload_size", 128) * unit
    # Kong 3.4 writes large numbers with an exponent: 9e+14.
    is_whole = isinstance(size, float) and size.is_integer()
    return {"max": canonical_size(int(size) if is_whole else size)}


def _losses(config: Config) -> Iterator[Loss]:
    loss = number_loss(size_bytes(config["max"]), "a size in bytes", "max")
    if loss is not None:
        yield loss


def _node_losses(_: Config, node: NodeInfo) -> Iterator[Loss]:
    if node.version < COUNTED_CHUNKS:
        yield Loss(
            f"bodies without Content-Length (chunked): Kong {node.text} lets them pass when they "
            "are larger than it keeps in memory; 3.8 measures them",
            is_partial=True,
        )


MAPPING: Final = single_plugin(
    "request_size",
    "request-size-limiting",
    write=_write,
    read=_read,
    losses=_losses,
    node_losses=_node_losses,
    # 10 megabytes and 10,485,760 bytes are one limit.
    whole_fields=frozenset({"allowed_payload_size", "size_unit"}),
)
