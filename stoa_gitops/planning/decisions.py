"""Decisions per key, and how they are assembled into a Plan.

A key's decision depends on few other keys (`key_graph`). What concerns all keys (order, warnings,
prune budget) is derived from the decisions alone, so `incremental` can replace some and keep the
rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stoa_gitops.model.catalog import DEFAULT_OWNER
from stoa_gitops.model.changes import Change, Skip
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.planning.classification import ClassifiedState
from stoa_gitops.planning.dependencies import with_dependencies
from stoa_gitops.planning.handover import with_handovers
from stoa_gitops.planning.order import sort_changes
from stoa_gitops.planning.path_handover import with_deletions_first, with_path_handovers
from stoa_gitops.planning.prune_budget import PruneScope, prune_holds
from stoa_gitops.planning.secret_comparison import references
from stoa_gitops.planning.skips import loss_warnings
from stoa_gitops.planning.write_policy import split_by_policy

_SHOWN: Final = 5
"""References that a warning names."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the planner decided for each key; a wanted key without a decision is unchanged.

    skipped   wanted keys that are not planned, and why
    writes    changes of wanted keys, before the write policy
    deletes   deletions of managed keys that nobody wants, before the write policy
    retained  keys left as they are: postponed deletions, fallbacks of a broken catalog
    lost      messages about what of a wanted key is lost though it is written
    """

    skipped: Mapping[Key, Skip]
    writes: Mapping[Key, Change]
    deletes: Mapping[Key, Change]
    retained: Mapping[Key, Skip]
    lost: Mapping[Key, tuple[str, ...]]


def assemble_plan(view: ClassifiedState, decisions: Decisions) -> Plan:
    """Return the plan: what the write policy permits, in order, with warnings and holds."""
    unfiltered = (*decisions.writes.values(), *decisions.deletes.values())
    changes, forbidden = split_by_policy(unfiltered, view.gateway)
    skipped = (*decisions.skipped.values(), *decisions.retained.values(), *forbidden)
    plan = Plan(
        gateway=view.gateway.name,
        gateway_type=view.gateway.gateway_type,
        revision=view.revision,
        changes=_ordered(changes, view),
        # Sorted, so that outputs do not depend on the order of the inputs.
        skipped=tuple(sorted(skipped, key=lambda s: (s.key, s.reason.value, s.message))),
        # Every wanted key is skipped, written or unchanged.
        unchanged=len(view.wanted) - len(decisions.skipped) - len(decisions.writes),
        title=view.gateway.title,
        warnings=(*_duplicates(view), *loss_warnings(decisions.lost), *_unresolved(view)),
    )
    # After the write policy: deletions that it forbids do not count.
    scope = PruneScope(
        view.gateway.name,
        view.managed,
        view.managed_total,
        view.renames,
        view.may_be_empty,
        view.last if view.owner == DEFAULT_OWNER else None,
    )
    holds = prune_holds(plan.changes, view.gateway.prune, scope)
    return replace(plan, holds=holds) if holds else plan


def _ordered(changes: Sequence[Change], view: ClassifiedState) -> tuple[Change, ...]:
    waiting = with_path_handovers(with_dependencies(changes), view.gateway.router)
    return with_handovers(with_deletions_first(sort_changes(waiting)), view.last)


def _duplicates(view: ClassifiedState) -> tuple[str, ...]:
    return tuple(
        f"{key} is on the gateway more than once; only {view.duplicates[key]} is managed"
        for key in sorted(view.duplicates)
    )


def _unresolved(view: ClassifiedState) -> tuple[str, ...]:
    """Return the warning about references without a value that this gateway's objects use.

    One for all: the same few are missing in each plan of a shell without the process's variables.
    """
    # Also references that this plan does not need are in `secrets`: only used ones are named.
    missing = {ref for ref, hmac in view.context.secrets.items() if hmac is None}
    if not missing:
        return ()
    used = {reference for _, reference in references(view.wanted.values())}
    found = sorted(SecretRef.parse(text).shown for text in missing & used)
    if not found:
        return ()
    names = ", ".join(found[:_SHOWN]) + (
        f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    )
    what = "whether it changed" if len(found) == 1 else "whether they changed"
    return (f"no value here for {names}: {what} is not known",)
