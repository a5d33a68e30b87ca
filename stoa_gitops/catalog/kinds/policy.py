"""Policy documents: a named policy of one tenant, used by its APIs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stoa_gitops.catalog.evaluation.context import DocumentContext, read_annotations, read_policy
from stoa_gitops.catalog.evaluation.definitions import PolicyDefinition
from stoa_gitops.catalog.evaluation.kind import DocumentKind


def parse_policy(value: dict[str, Any], context: DocumentContext) -> PolicyDefinition:
    """Return the definition of a valid Policy document."""
    annotations = read_annotations(value, context)
    return replace(
        read_policy(value["spec"], context, ("spec",)),
        annotations=annotations,
        name=context.key.name,
    )


KIND = DocumentKind(
    name="Policy",
    home="tenants/<tenant>/policies/<name>.yaml",
    order=60,
    policies_at=("spec",),
    parse=parse_policy,
)
