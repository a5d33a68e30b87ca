"""The Catalog document: the owner of everything created on gateways, and what tenants are given."""

from __future__ import annotations

from typing import Any

from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.model.grants import Grants, TenantGrants


def parse_catalog(value: dict[str, Any], context: DocumentContext) -> Grants:
    """Return what a valid Catalog document grants."""
    tenants = value["spec"].get("tenants", {})
    return Grants({name: _granted(given) for name, given in tenants.items()})


def _granted(given: dict[str, list[str]]) -> TenantGrants:
    return TenantGrants(
        env=tuple(given["env"]),
        files=tuple(given["files"]),
        paths=tuple(given["paths"]),
        hosts=tuple(given["hosts"]),
    )


KIND = DocumentKind(
    name="Catalog", home="catalog.yaml", order=10, takes_variables=False, parse=parse_catalog
)
