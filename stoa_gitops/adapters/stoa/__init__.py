"""STOA gateways in all their modes, ours with its extensions and the real one without."""

from __future__ import annotations

from stoa_gitops.adapters.contract import AdapterInfo, Connection, GatewayAdapter
from stoa_gitops.adapters.stoa.rules import DECLARED


def _build(connection: Connection) -> GatewayAdapter:
    from stoa_gitops.adapters.stoa.adapter import build

    return build(connection)


ADAPTER = AdapterInfo(
    name="stoa",
    types=("stoa", "stoa_edge_mcp", "stoa_sidecar", "stoa_proxy", "stoa_shadow"),
    factory=_build,
    capabilities=DECLARED,
    versions="the data plane of this project; STOA gateway 0.9.25",
    title="STOA gateway",
)
