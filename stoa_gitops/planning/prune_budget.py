"""Holds the deletions of a plan that has more of them than its budget allows."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.instances import PERCENT_FROM, PruneBudget
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Hold

# The reason of the hold, as JSON output and conditions show it.
PRUNE_BUDGET = "PruneBudget"


def budget_holds(
    changes: Iterable[Change], budget: PruneBudget, managed_total: int, renamed: Collection[Key]
) -> tuple[Hold, ...]:
    """Return a hold of all deletions if they exceed the budget; `managed_total` counts objects.

    The deletion of a renamed object does not count: its new key replaces it.
    """
    keys = tuple(c.key for c in changes if c.action is Action.DELETE and c.key not in renamed)
    excess = _excess(len(keys), budget, managed_total)
    if excess is None:
        return ()
    message = (
        f"would delete {len(keys)} of {managed_total} managed objects, {excess}; "
        "check them, then repeat with --force"
    )
    return (Hold(PRUNE_BUDGET, message, keys),)


def _excess(count: int, budget: PruneBudget, managed_total: int) -> str | None:
    if budget.max_count is not None and count > budget.max_count:
        return f"more than prune.maxCount {budget.max_count}"
    # A share says nothing about few objects: one of three is a third.
    if budget.max_percent is None or managed_total < PERCENT_FROM:
        return None
    # In integers: rounding must not decide about deletions.
    if count * 100 > budget.max_percent * managed_total:
        return f"more than prune.maxPercent {budget.max_percent}"
    return None
