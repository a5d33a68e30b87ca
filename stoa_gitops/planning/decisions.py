"""What a survey comes to, key by key, and the plan that is put together from it.

A key's finding hangs on few other keys (see `ties`); what a plan says of all of them together (order, warnings,
budget) is worked out from the findings alone. That is what lets `incremental` exchange some findings and keep the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stoa_gitops.model.changes import Change, Skip
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.planning.classification import ClassifiedState
from stoa_gitops.planning.dependencies import with_dependencies
from stoa_gitops.planning.order import sort_changes
from stoa_gitops.planning.prune_budget import budget_holds
from stoa_gitops.planning.secret_comparison import references
from stoa_gitops.planning.skips import loss_warnings
from stoa_gitops.planning.write_policy import split_by_policy


@dataclass(frozen=True, slots=True)
class Decisions:
    """A wanted key without a finding is unchanged.

    aside    wanted keys that are not planned, and why
    writes   changes of wanted keys, whatever the gateway's policy says of them
    deletes  changes of managed keys that nobody wants, likewise
    stays    keys left as they are: deletions that wait, and what stands in for a broken catalog
    lost     what of a wanted key is lost though it is written, in words
    """

    skipped: Mapping[Key, Skip]
    writes: Mapping[Key, Change]
    deletes: Mapping[Key, Change]
    retained: Mapping[Key, Skip]
    lost: Mapping[Key, tuple[str, ...]]


def assemble_plan(view: ClassifiedState, decisions: Decisions) -> Plan:
    """Return the plan: what the policy permits, in order, with warnings and holds."""
    everything = (*decisions.writes.values(), *decisions.deletes.values())
    changes, forbidden = split_by_policy(everything, view.gateway)
    skipped = (*decisions.skipped.values(), *decisions.retained.values(), *forbidden)
    plan = Plan(
        gateway=view.gateway.name,
        gateway_type=view.gateway.gateway_type,
        revision=view.revision,
        changes=sort_changes(with_dependencies(changes)),
        skipped=tuple(sorted(skipped, key=lambda s: (s.key, s.reason.value, s.message))),
        unchanged=len(view.wanted) - len(decisions.skipped) - len(decisions.writes),
        title=view.gateway.title,
        warnings=(*_duplicates(view), *loss_warnings(decisions.lost), *_unresolved(view)),
    )
    holds = budget_holds(plan.changes, view.gateway.prune, view.managed_total, view.renames)
    return replace(plan, holds=holds) if holds else plan


def _duplicates(view: ClassifiedState) -> tuple[str, ...]:
    return tuple(
        f"{key} is on the gateway more than once; only {view.duplicates[key]} is looked after"
        for key in sorted(view.duplicates)
    )


def _unresolved(view: ClassifiedState) -> tuple[str, ...]:
    """Name the references that did not resolve and that this gateway's objects use."""
    missing = {ref for ref, hmac in view.context.secrets.items() if hmac is None}
    if not missing:
        return ()
    used = references(view.wanted.values())
    return tuple(f"{ref} cannot be resolved here; not compared" for ref in sorted(missing & used))
