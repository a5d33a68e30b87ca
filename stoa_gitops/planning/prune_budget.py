"""The budget for deletions: a plan that deletes more waits for a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.instances import PERCENT_FROM, PruneBudget
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Hold

PRUNE_BUDGET = "PruneBudget"


def budget_holds(
    changes: Iterable[Change], budget: PruneBudget, managed_total: int, renamed: Collection[Key]
) -> tuple[Hold, ...]:
    """Hold all deletions when they are more than the budget; `population` counts managed objects.

    A deletion that ends a rename is no loss and does not count.
    """
    keys = tuple(c.key for c in changes if c.action is Action.DELETE and c.key not in renamed)
    words = _excess(len(keys), budget, managed_total)
    if words is None:
        return ()
    message = (
        f"would delete {len(keys)} of {managed_total} managed objects, {words}; "
        "look at them, then repeat with --force"
    )  # fmt: skip
    return (Hold(PRUNE_BUDGET, message, keys),)


def _excess(count: int, budget: PruneBudget, managed_total: int) -> str | None:
    if budget.max_count is not None and count > budget.max_count:
        return f"more than prune.maxCount {budget.max_count}"
    if budget.max_percent is None or managed_total < PERCENT_FROM:
        return None
    if count * 100 > budget.max_percent * managed_total:
        return f"more than prune.maxPercent {budget.max_percent}"
    return None
