"""What a gateway may not reach for an API, and what it cannot express."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from stoa_gitops.catalog.backends import denied, foreign_family
from stoa_gitops.catalog.facts import ApiFacts, PolicyFacts
from stoa_gitops.catalog.nodes import Pointer
from stoa_gitops.catalog.placed import PlacedApi, PlacedApplication
from stoa_gitops.catalog.placing import Located
from stoa_gitops.catalog.saying import located
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.instances import GatewayInstance

Unsupported: TypeAlias = Callable[[GatewayInstance, str], "str | None"]
"""Says why a gateway has not a capability (names of `adapters.contract.Capabilities`); None when it has."""

_END: Final = {
    "fail": "the API is held back there",
    "warn": "the API goes there without it",
    "skip": "the API goes there without it",
}


def check_backends(gateway: GatewayInstance, api: PlacedApi) -> tuple[bool, tuple[Located, ...]]:
    """Return whether a gateway may reach every backend of an API, and what is odd about them."""
    is_reached = True
    found = []
    for backend in api.facts.backends:
        reason = denied(backend, gateway) if backend.addresses else ""
        if reason:
            is_reached = False
            text = f"{gateway.name} may not reach {backend.host}: {reason}"
            hint = f"use another address, or add it to backends.allow of {gateway.name}"
            found.append(
                located(
                    api.document, "backend.address", text, backend.pointer, hint,
                    lowered=api.lowered,
                )
            )  # fmt: skip
        other = foreign_family(backend.host, gateway.environment)
        if other:
            text = f"{backend.host} looks like {other}, and {gateway.name} is {gateway.environment}"
            hint = "write ${NAME} and set it for each environment"
            found.append(
                located(
                    api.document, "environment.mixup", text, backend.pointer, hint,
                    lowered=api.lowered, severity=Severity.WARNING,
                )
            )  # fmt: skip
    return is_reached, tuple(found)


def check_needs(
    gateway: GatewayInstance, api: PlacedApi, unsupported: Unsupported
) -> Iterator[Located]:
    """Yield what a gateway cannot express of an API."""
    for need in api.facts.needs:
        reason = unsupported(gateway, need.capability)
        if reason is not None:
            yield _unable(gateway, api, need.capability, reason, need.pointer)
    for use_type, policy in api.policies.items():
        reason = unsupported(gateway, f"policy:{use_type}")
        if reason is not None:
            text = f"{reason}; {_END[policy.on_unsupported]}"
            yield _unable(gateway, api, f"policy:{use_type}", text, _use_of(api.facts, policy))


def _use_of(api: ApiFacts, policy: PolicyFacts) -> Pointer:
    """Return where an API uses a policy; its own name where its tenant does."""
    for use in api.policies:
        if use.inline is policy or (use.name and use.name == policy.name):
            return use.pointer
    return ("metadata", "name")


def check_application(
    gateway: GatewayInstance, application: PlacedApplication, unsupported: Unsupported
) -> Iterator[Located]:
    """Yield what a gateway cannot express of an application that goes there."""
    for need in application.facts.needs:
        reason = unsupported(gateway, need.capability)
        if reason is not None:
            yield _unable(gateway, application, need.capability, reason, need.pointer)


def _unable(
    gateway: GatewayInstance,
    what: PlacedApi | PlacedApplication,
    capability: str,
    reason: str,
    pointer: Pointer,
) -> Located:
    return located(
        what.document,
        "gateway.unsupported",
        f"{gateway.name} ({gateway.gateway_type}) cannot express {capability}: {reason}",
        pointer,
        "leave it out there, or choose another gateway",
        lowered=what.lowered,
        severity=Severity.WARNING,
    )
