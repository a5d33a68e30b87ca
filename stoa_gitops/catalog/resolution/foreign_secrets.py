"""Reports references to secrets that are not for the document that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from stoa_gitops.catalog.evaluation.definitions import EvaluatedDocument, SecretUse
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.finding_log import located
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.model.secret_rights import Refusal, SecretRights, TenantSecrets

SecretRefusal: TypeAlias = Callable[[SecretRef, TenantSecrets], "Refusal | None"]
"""Returns why a document may not use a reference; None when it may."""


def foreign_secret(
    document: Document, evaluated: EvaluatedDocument, use: SecretUse, refusal: Refusal
) -> LocatedFinding:
    """Return the finding about a reference, at its place in the document."""
    return located(
        document, "secret.foreign", refusal.message, use.pointer, refusal.hint, evaluated=evaluated
    )


class SecretGuard:
    """Checks the references in tenants' documents."""

    def __init__(self, rights: SecretRights, refusal: SecretRefusal | None) -> None:
        self._rights = rights
        self._refusal = refusal

    def check(
        self, document: Document, evaluated: EvaluatedDocument
    ) -> tuple[bool, list[LocatedFinding]]:
        """Return whether a document may use all of its references, and what to report."""
        if self._refusal is None:
            return True, []
        rights = self._rights.of(document.tenant)
        refused = [
            (use, refusal)
            for use in evaluated.secrets
            if (refusal := self._refusal(use.reference, rights)) is not None
        ]
        # While nobody knows what is granted, the document waits without a finding of its own.
        if not self._rights.grants.is_known:
            return not refused, []
        return not refused, [foreign_secret(document, evaluated, *pair) for pair in refused]


NO_GUARD = SecretGuard(SecretRights(), None)
