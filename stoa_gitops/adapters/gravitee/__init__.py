"""Adapter for Gravitee APIM 4: V4 HTTP proxy APIs by the Automation API or what came before it.

The modules behind the adapter are imported late: `validate` needs its capabilities only.
"""

from __future__ import annotations

from collections.abc import Mapping

from stoa_gitops.adapter_sdk.capabilities import Granularity
from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ObjectSpec
from stoa_gitops.adapter_sdk.info import (
    AdapterInfo,
    Connection,
    VendorExport,
    read_options_schema,
)
from stoa_gitops.adapters.gravitee.mapping.rules import DECLARED, RULES
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.secret import Value


def _build(connection: Connection) -> GatewayAdapter:
    from stoa_gitops.adapters.gravitee.adapter import build

    return build(connection)


def _render_object(spec: ObjectSpec) -> Mapping[str, Value]:
    from stoa_gitops.adapters.gravitee.rendering import render_object

    return render_object(spec)


def _read_export(data: bytes, name: str, instance: GatewayInstance, owner: str) -> VendorExport:
    from stoa_gitops.adapters.gravitee.node.export_file import read_export

    return read_export(data, name, instance, owner)


ADAPTER = AdapterInfo(
    name="gravitee",
    types=("gravitee",),
    factory=_build,
    capabilities=DECLARED,
    granularity=Granularity.UNIT,
    rules=RULES,
    versions="4.0 to 4.12, seen running: 4.10.8",
    title="Gravitee",
    options_schema=read_options_schema(__file__),
    # Two APIs of one environment cannot have one path, or one below the other's, whatever the
    # methods (contract gravitee.md R.1 row 13).
    allows_nested_paths=False,
    render=_render_object,
    read_export=_read_export,
)
