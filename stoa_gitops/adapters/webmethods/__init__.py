"""Adapter for webMethods API Gateway 10.15 and 11 by its administration API.

The modules behind the adapter are imported late: `validate` needs its capabilities only.
"""

from __future__ import annotations

from collections.abc import Mapping

from stoa_gitops.adapter_sdk.capabilities import Granularity
from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ObjectSpec
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection, read_options_schema
from stoa_gitops.adapters.webmethods.api.options import OBJECT_OPTIONS
from stoa_gitops.adapters.webmethods.mapping.routes import RESERVED
from stoa_gitops.adapters.webmethods.mapping.rules import CAPABILITIES, RULES
from stoa_gitops.model.secret import Value


def _build(connection: Connection) -> GatewayAdapter:
    from stoa_gitops.adapters.webmethods.adapter import build

    return build(connection)


def _render_object(spec: ObjectSpec) -> Mapping[str, Value]:
    from stoa_gitops.adapters.webmethods.rendering import render_object

    return render_object(spec)


ADAPTER = AdapterInfo(
    name="webmethods",
    types=("webmethods",),
    factory=_build,
    capabilities=CAPABILITIES,
    granularity=Granularity.UNIT,
    rules=RULES,
    versions="10.15 and 11, by their contracts",
    title="webMethods",
    reserved=RESERVED,
    options_schema=read_options_schema(__file__),
    # `<tenant>-<name>` is the name of an API, and part of the path that it is served at.
    has_one_name_space=True,
    # URL aliases are told apart by their beginning (vendor's manual, "Creating URL alias").
    allows_nested_paths=False,
    object_options=OBJECT_OPTIONS,
    render=_render_object,
)
