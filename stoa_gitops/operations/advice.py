"""`validate --lint`: advice about a catalog, beside what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.advice.finder import find_advice
from stoa_gitops.catalog.advice.rules import RULES
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.operations.validate import CatalogReading, require_name


def add_advice(reading: CatalogReading, ignored: Collection[str], now: datetime) -> CatalogReading:
    """Return the reading with advice among its warnings, but for the codes of `ignored`.

    Raises UsageError for a code that no advice has.
    """
    for code in ignored:
        require_name("advice", code, RULES)
    catalog = reading.catalog
    advice = find_advice(reading.tree, catalog, kind_set(gateway_types()), ignored, now)
    found = sorted((*catalog.diagnostics, *advice), key=lambda finding: finding.order)
    return replace(reading, catalog=replace(catalog, diagnostics=tuple(found)))
