"""A gateway inside this process, for tests, benchmarks and `render`; no catalog can name it."""

from __future__ import annotations

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection
from stoa_gitops.adapters.memory.rules import CAPABILITIES


def _build(connection: Connection) -> GatewayAdapter:
    # Imported late, as every adapter does: who reads the declaration needs no client.
    from stoa_gitops.adapters.memory.adapter import build

    return build(connection)


ADAPTER = AdapterInfo(
    name="memory",
    types=("memory",),
    factory=_build,
    capabilities=CAPABILITIES,
    title="the gateway in memory",
    versions="this process",
    public=False,
)
