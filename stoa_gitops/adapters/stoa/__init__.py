"""STOA gateways of all types: our data plane with extensions, the real gateway without."""

from __future__ import annotations

from collections.abc import Mapping

from stoa_gitops.adapter_sdk.contract import GatewayAdapter, ObjectSpec
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection
from stoa_gitops.adapters.stoa.policy_order import policy_order
from stoa_gitops.adapters.stoa.rules import DECLARED, EMBEDDED, RESERVED, UNASKED
from stoa_gitops.model.secret import Value


def _build(connection: Connection) -> GatewayAdapter:
    # Imported late: validation reads the declaration of every adapter and needs no HTTP client.
    from stoa_gitops.adapters.stoa.adapter import build

    return build(connection)


def _render(spec: ObjectSpec) -> Mapping[str, Value]:
    from stoa_gitops.adapters.stoa.rendering import rendered

    return rendered(spec)


ADAPTER = AdapterInfo(
    name="stoa",
    types=("stoa", "stoa_edge_mcp", "stoa_sidecar", "stoa_proxy", "stoa_shadow"),
    factory=_build,
    capabilities=DECLARED,
    rules=UNASKED,
    embedded_rules=EMBEDDED,
    versions="the data plane of this project; STOA gateway 0.9.25",
    title="STOA gateway",
    reserved=RESERVED,
    can_be_embedded=True,
    render=_render,
    policy_order=policy_order,
)
