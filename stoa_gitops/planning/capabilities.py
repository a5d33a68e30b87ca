"""What a gateway cannot express, known before any call."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.model.resources import Resource
from stoa_gitops.planning.inputs import GatewayPlanInput

_DOCUMENTED = {"rate_limiting": "policy:rate_limit", "oidc": "policy:jwt"}
"""Words that STOA's documentation uses in a GatewayInstance for names of ours."""

_EVERYTHING_BUT_POLICIES = "rest"


def lacking(target: GatewayPlanInput, resource: Resource) -> str | None:
    """Return in words what the target lacks for this resource, None when it can hold it."""
    return lacking_of(target, resource.handling.requires)


def lacking_of(target: GatewayPlanInput, requires: Iterable[str]) -> str | None:
    """Return in words which of these abilities the target lacks, None when it has them all."""
    missing = [
        f"{name} ({reason})" for name in requires if (reason := _reason(target, name)) is not None
    ]
    return ", ".join(missing) or None


def _reason(target: GatewayPlanInput, name: str) -> str | None:
    if target.capabilities is not None:
        reason = target.capabilities.get(name, f"not declared for {target.gateway_type}")
        if reason is not None:
            return reason or "not supported"
    if not _is_declared(target.declared, name):
        return f"not among the capabilities in the document of {target.name}"
    return None


def _is_declared(declared: frozenset[str], name: str) -> bool:
    """Whether the gateway's document lets a name pass; an empty list lets all pass."""
    if not declared or name in declared:
        return True
    if any(_DOCUMENTED.get(word) == name for word in declared):
        return True
    return _EVERYTHING_BUT_POLICIES in declared and not name.startswith("policy:")
