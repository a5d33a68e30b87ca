"""Which required capabilities a gateway lacks, known before any call."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.model.instances import is_listed
from stoa_gitops.planning.inputs import GatewayPlanInput


def missing_capabilities(gateway: GatewayPlanInput, requires: Iterable[str]) -> str | None:
    """Return the names that the target lacks, each with the reason, None when it has them all."""
    missing = [
        f"{name} ({reason})" for name in requires if (reason := _reason(gateway, name)) is not None
    ]
    return ", ".join(missing) or None


def _reason(gateway: GatewayPlanInput, name: str) -> str | None:
    if gateway.capabilities is not None:
        reason = gateway.capabilities.get(name, f"not declared for {gateway.gateway_type}")
        if reason is not None:
            return reason or "not supported"
    if not is_listed(gateway.declared, name):
        return f"not among the capabilities in the document of {gateway.name}"
    return None
