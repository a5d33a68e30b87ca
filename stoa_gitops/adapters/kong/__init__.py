"""Adapter for open-source Kong 3.0 to 3.9.

A node without a database is written by whole documents, one with PostgreSQL entity by entity. The
modules behind the adapter are imported late: `validate` needs its capabilities only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoa_gitops.adapter_sdk.capabilities import Granularity
from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ObjectSpec
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection, VendorExport, read_options_schema
from stoa_gitops.adapters.kong.mapping.rules import DECLARED, RULES
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.secret import Value


def _build(connection: Connection) -> GatewayAdapter:
    from stoa_gitops.adapters.kong.adapter import build

    return build(connection)


def _render_object(spec: ObjectSpec) -> Mapping[str, Value]:
    from stoa_gitops.adapters.kong.rendering import render_object

    return render_object(spec)


def _render_document(specs: Sequence[ObjectSpec], instance: GatewayInstance) -> Mapping[str, Value]:
    from stoa_gitops.adapters.kong.rendering import render_document

    return render_document(specs, instance)


def _read_export(data: bytes, name: str, instance: GatewayInstance, owner: str) -> VendorExport:
    from stoa_gitops.adapters.kong.declarative.export import read_export

    return read_export(data, name, instance, owner)


ADAPTER = AdapterInfo(
    name="kong",
    types=("kong",),
    factory=_build,
    capabilities=DECLARED,
    granularity=Granularity.DOCUMENT,
    rules=RULES,
    versions="3.0 to 3.9 (OSS), seen running: 3.4.2 and 3.9.1",
    title="Kong",
    options_schema=read_options_schema(__file__),
    render=_render_object,
    render_whole=_render_document,
    read_export=_read_export,
)
