"""Holds deletions that may be a mistake: more than the budget, or all that a tenant or gateway has.

A folder that was not mounted, or not checked out, looks like a decision to delete everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.counts import counted
from stoa_gitops.model.instances import PERCENT_FROM, PruneBudget
from stoa_gitops.model.keys import POLICY, Key
from stoa_gitops.model.plan import Hold

# The reasons of holds, as JSON output and conditions show them.
PRUNE_BUDGET: Final = "PruneBudget"
PRUNE_ALL: Final = "PruneAll"
PRUNE_UNKNOWN: Final = "PruneUnknown"


@dataclass(frozen=True, slots=True)
class PruneScope:
    """What the guards compare deletions with.

    gateway        its name
    managed        keys of managed objects in the scope of the plan
    managed_total  number of managed objects, whatever the scope
    renamed        keys that others replace: their deletion takes nothing away
    may_be_empty   tenants whose documents say that they may lose everything
    recorded       keys that the store knows; None where the catalog's own name is proof enough
    """

    gateway: str
    managed: Collection[Key]
    managed_total: int
    renamed: Collection[Key] = ()
    may_be_empty: frozenset[str] = frozenset()
    recorded: Container[Key] | None = None


def prune_holds(
    changes: Iterable[Change], budget: PruneBudget, scope: PruneScope
) -> tuple[Hold, ...]:
    """Return the holds of deletions; none where a budget without any bound says that all may go."""
    changes = tuple(changes)
    deleted = tuple(
        c.key for c in changes if c.action is Action.DELETE and c.key not in scope.renamed
    )
    if not deleted or budget.is_unbounded:
        return ()
    created = Counter(
        (c.key.tenant, c.key.kind) for c in changes if c.action in (Action.CREATE, Action.ADOPT)
    )
    return (
        *_over_budget(deleted, budget, scope),
        *_emptying(deleted, created, scope),
        *_unknown(deleted, scope),
    )


def _over_budget(
    deleted: tuple[Key, ...], budget: PruneBudget, scope: PruneScope
) -> Iterator[Hold]:
    """Yield holds until the rest is within the budget.

    A tenant with most of the deletions is held alone: nobody holds up those of others with his own.
    Where many tenants lose something it may be one mistake, and all of them wait.
    """
    rest = deleted
    while (excess := _excess(len(rest), budget, scope.managed_total)) is not None:
        ((tenant, count),) = Counter(key.tenant for key in rest).most_common(1)
        is_most = len(rest) < 2 * count < 2 * len(rest)
        held = tuple(key for key in rest if not is_most or key.tenant == tenant)
        whose = f", most of them of the tenant {tenant or '-'}" if is_most else ""
        message = (
            f"would delete {len(rest)} of {scope.managed_total} managed objects{whose}, {excess}; "
            "check them, then repeat with --force"
        )
        yield Hold(PRUNE_BUDGET, message, held)
        waiting = set(held)
        rest = tuple(key for key in rest if key not in waiting)


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


def _emptying(
    deleted: Collection[Key], created: Counter[tuple[str, str]], scope: PruneScope
) -> Iterator[Hold]:
    """Yield holds for what loses all of its objects, from one object on."""
    by_tenant: dict[str, list[Key]] = {}
    for key in deleted:
        by_tenant.setdefault(key.tenant, []).append(key)
    present = Counter(key.tenant for key in scope.managed if key not in scope.renamed)
    emptied = {
        tenant: keys
        for tenant, keys in sorted(by_tenant.items())
        if len(keys) == present[tenant]
        and tenant not in scope.may_be_empty
        and not _is_replaced(keys, created)
    }
    if emptied and len(deleted) == scope.managed_total and emptied.keys() == by_tenant.keys():
        count = counted(len(deleted), "object")
        message = (
            f"would delete everything that the catalog has there ({count}); is a folder of it "
            "missing? If that is meant: "
            f"{_command(scope)}"
        )
        yield Hold(PRUNE_ALL, message, tuple(deleted))
        return
    for tenant, keys in emptied.items():
        count = counted(len(keys), "object")
        message = (
            f"would delete everything of the tenant {tenant or '-'} ({count}); is its "
            "folder missing? If that is meant: "
            f"{_command(scope, tenant)}, or "
            f'`gostoa.dev/allow-empty: "true"` in tenants/{tenant}/tenant.yaml'
        )
        yield Hold(PRUNE_ALL, message, tuple(keys))


def _command(scope: PruneScope, tenant: str = "") -> str:
    """Return the command that forces a hold; the plan of a registered gateway is forced whole."""
    narrowed = f" --tenant {tenant}" if tenant and "/" not in scope.gateway else ""
    return f"`stoa-gitops apply --gateway {scope.gateway}{narrowed} --force`"


def _is_replaced(keys: Iterable[Key], created: Counter[tuple[str, str]]) -> bool:
    """Whether as much comes as goes: then something was renamed. Policies come with their APIs."""
    gone = Counter((key.tenant, key.kind) for key in keys if key.kind != POLICY)
    return bool(gone) and all(created[pair] >= count for pair, count in gone.items())


def _unknown(deleted: Collection[Key], scope: PruneScope) -> Iterator[Hold]:
    """Yield a hold of what may be another catalog's: all without a name mark alike."""
    recorded = scope.recorded
    unknown = tuple(key for key in deleted if recorded is not None and key not in recorded)
    if unknown:
        count = counted(len(unknown), "object")
        message = (
            f"would delete {count} that this state folder never applied, and the catalog "
            "has no name that tells them from those of another catalog without one; give each "
            "catalog a name in catalog.yaml, or if they are its own: "
            f"{_command(scope)}"
        )
        yield Hold(PRUNE_UNKNOWN, message, unknown)
