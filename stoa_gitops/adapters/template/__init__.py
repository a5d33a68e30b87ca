"""A working adapter of an imaginary gateway: copy this folder to add a real one.

See docs/writing-an-adapter.md. The contract suite runs it against a double, so that it cannot rot.
"""

from __future__ import annotations

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection
from stoa_gitops.adapters.template.rules import CAPABILITIES, RULES


def _build(connection: Connection) -> GatewayAdapter:
    # Imported late: validation reads the declaration of every adapter and needs no HTTP client.
    from stoa_gitops.adapters.template.adapter import build

    return build(connection)


ADAPTER = AdapterInfo(
    name="template",
    types=("template",),
    factory=_build,
    capabilities=CAPABILITIES,
    rules=RULES,
    versions="imaginary 1",
    title="Template gateway",
    public=False,  # True once a person can name the type in a catalog
)
