"""What a tenant may have at most."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.catalog.kinds.definitions import TenantDefinition
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.references import References


def check_limits(refs: References, tenant: str, documents: Iterable[Document]) -> None:
    """Note when a tenant has more APIs or applications than its documents allow."""
    for document in documents:
        if document.is_broken or refs.is_hidden(document):
            continue
        evaluated = refs.evaluations.evaluated(document, refs.overlay)
        definition = evaluated.definition
        if not isinstance(definition, TenantDefinition):
            continue
        for kind, field, most in (
            ("API", "maxApis", definition.max_apis),
            ("Application", "maxApplications", definition.max_applications),
        ):
            count = len(refs.evaluations.index.by_kind.get((kind, tenant), ()))
            if most is not None and count > most:
                code = f"limit.{field.removeprefix('max').lower()}"
                text = f"{document.name} has {count} documents of kind {kind}, and may have {most}"
                at = ("spec", "limits", field)
                refs.report_error(
                    document, evaluated, code, text, at, "raise the limit, or remove some"
                )
