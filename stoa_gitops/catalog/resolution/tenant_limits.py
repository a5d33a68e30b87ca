"""Checks how many documents a tenant has against the limits in its own document."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.catalog.evaluation.definitions import TenantDefinition
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.references import References


def check_limits(refs: References, tenant: str, documents: Iterable[Document]) -> None:
    """Report a tenant that has more documents of a kind than its own document allows."""
    evaluations = refs.evaluations
    for document in documents:
        if document.is_broken or refs.is_hidden(document):
            continue
        evaluated = evaluations.evaluate(document, refs.overlay)
        definition = evaluated.definition
        if not isinstance(definition, TenantDefinition):
            continue
        for kind in evaluations.kinds.limited:
            most = definition.limits.get(kind.limit)
            # Broken documents count, too: a limit is about the size of the catalog.
            count = len(evaluations.index.by_kind.get((kind.name, tenant), ()))
            if most is not None and count > most:
                # The codes are `limit.apis` and `limit.applications`.
                code = f"limit.{kind.limit.removeprefix('max').lower()}"
                text = (
                    f"{document.name} has {count} documents of kind {kind.name}, "
                    f"and may have {most}"
                )
                at = ("spec", "limits", kind.limit)
                hint = "raise the limit, or remove some"
                refs.report_error(document, evaluated, code, text, at, hint)
