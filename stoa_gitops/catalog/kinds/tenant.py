"""Tenant documents: what a tenant gives to its APIs, and how many objects it may have."""

from __future__ import annotations

from typing import Any

from stoa_gitops.catalog.evaluation.context import (
    DocumentContext,
    read_annotations,
    read_policy_uses,
)
from stoa_gitops.catalog.evaluation.definitions import Reference, TenantDefinition
from stoa_gitops.catalog.evaluation.kind import DocumentKind


def parse_tenant(value: dict[str, Any], context: DocumentContext) -> TenantDefinition:
    """Return the definition of a valid Tenant document."""
    spec = value["spec"]
    return TenantDefinition(
        context.key.name,
        tuple(
            Reference(name, ("spec", "gateways", index))
            for index, name in enumerate(spec["gateways"])
        ),
        read_policy_uses(spec["policies"], context),
        spec.get("limits", {}),
        read_annotations(value, context),
    )


KIND = DocumentKind(
    name="Tenant",
    home="tenants/<tenant>/tenant.yaml",
    order=40,
    policies_at=("spec", "policies"),
    parse=parse_tenant,
)
