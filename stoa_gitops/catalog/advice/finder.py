"""Runs the rules of advice over a catalog, but for those that are switched off."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.catalog.advice.documents import WrittenCatalog, read_documents
from stoa_gitops.catalog.advice.rules import RULES
from stoa_gitops.catalog.positions import DiagnosticBuilder

if TYPE_CHECKING:
    from stoa_gitops.catalog.evaluation.kind import KindSet
    from stoa_gitops.catalog.sources.base import Tree
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.diagnostics import Diagnostic


def find_advice(
    tree: Tree, catalog: Catalog, kinds: KindSet, ignored: Collection[str], now: datetime
) -> tuple[Diagnostic, ...]:
    """Return advice about the documents of a tree, sorted by position.

    `ignored` are codes that nobody wants to see. Broken documents get no advice: their findings
    come first. Raises CatalogError where a file is gone meanwhile.
    """
    paths = [path for path in tree.files if kinds.layout.may_hold_documents(path)]
    documents = tuple(read_documents(tree, paths, kinds.schemas))
    written = WrittenCatalog(documents, catalog, now)
    switched_off = set(ignored)
    for document in written.of_kind("Catalog"):
        switched_off |= set((document.spec.get("lint") or {}).get("ignore") or ())
    off_in = {(one.path, one.number): one.ignored for one in documents}
    found = [
        advice
        for code, rule in RULES.items()
        if code not in switched_off
        for advice in rule(written)
        if code not in off_in[advice.path, advice.finding.document]
    ]
    return DiagnosticBuilder().build(tree, found)
