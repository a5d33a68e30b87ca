"""Reads an export file of a gateway's vendor instead of asking the gateway."""

from __future__ import annotations

from stoa_gitops.adapter_sdk.observation import observed_objects
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.errors import UsageError
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import Observed
from stoa_gitops.model.unmapped import Unmapped


def read_export(
    data: bytes, name: str, instance: GatewayInstance, owner: str, *, is_implied: bool = False
) -> tuple[tuple[Observed, ...], tuple[Unmapped, ...]]:
    """Return the objects of a vendor's file, all foreign, and what of it no document can express.

    `name` is the file's name for messages. With `is_implied` the objects have what the file implies
    besides, and differ from what a gateway with its content lists.

    Raises UsageError if the file cannot be read or the
    vendor has no such file, and GatewayTypeUnsupported if this version has no adapter.
    """
    info = info_for(instance.gateway_type)
    if info.read_export is None:
        raise UsageError(f"Not supported by {info.title or info.name}: there is no file to read")
    export = info.read_export(data, name, instance, owner)
    if is_implied and export.implied is not None:
        export = export.implied
    return observed_objects(export.items, {}), export.unmapped
