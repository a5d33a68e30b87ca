"""Kong 3.0 to 3.9, open source: without a database by whole documents, with one entity by entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoa_gitops.adapter_sdk.capabilities import Granularity
from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ObjectSpec
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection, VendorExport
from stoa_gitops.adapters.kong.mapping.rules import DECLARED
from stoa_gitops.adapters.kong.mapping.support import RULES
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.secret import Value


def _build(connection: Connection) -> GatewayAdapter:
    from stoa_gitops.adapters.kong.adapter import build

    return build(connection)


def _render(spec: ObjectSpec) -> Mapping[str, Value]:
    from stoa_gitops.adapters.kong.rendering import rendered

    return rendered(spec)


def _whole(specs: Sequence[ObjectSpec], instance: GatewayInstance) -> Mapping[str, Value]:
    from stoa_gitops.adapters.kong.rendering import whole

    return whole(specs, instance)


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
    render=_render,
    render_whole=_whole,
    read_export=_read_export,
)
