"""Which required capabilities a gateway lacks, known before any call."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.model.instances import is_listed
from stoa_gitops.planning.inputs import GatewayPlanInput


def missing_capabilities(target: GatewayPlanInput, requires: Iterable[str]) -> str | None:
    """Return the names that the target lacks, each with the reason, None when it has them all."""
    missing = [
        f"{name} ({reason})" for name in requires if (reason := _reason(target, name)) is not None
    ]
    return ", ".join(missing) or None


def _reason(target: GatewayPlanInput, name: str) -> str | None:
    if target.capabilities is not None:
        reason = target.capabilities.get(name, f"not declared for {target.gateway_type}")
        if reason is not None:
            return reason or "not supported"
    if not is_listed(target.declared, name):
        return f"not among the capabilities in the document of {target.name}"
    return None
