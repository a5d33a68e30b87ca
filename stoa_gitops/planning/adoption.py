"""Plans the adoption of objects that exist already; only a person can ask for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from stoa_gitops.errors import UsageError
from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, DesiredState
from stoa_gitops.planning.classification import ClassifiedState, classify
from stoa_gitops.planning.comparison import SpecComparer
from stoa_gitops.planning.decisions import assemble_plan
from stoa_gitops.planning.inputs import GatewayPlanInput, PlanContext
from stoa_gitops.planning.order import sort_changes
from stoa_gitops.planning.places import PlaceInputs, Places
from stoa_gitops.planning.planner import decide, incomplete_plan


def plan_adoption(
    gateway: GatewayPlanInput,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
    keys: Collection[Key],
) -> Plan:
    """Plan to take over the foreign objects under these keys, and nothing else.

    Each is one change ADOPT with the fields that applying the catalog's definition will change.
    Raises UsageError naming every key that the catalog or the gateway does not have, that is
    managed already, that is a policy of an API which stays foreign, or whose requests would go
    elsewhere once it is adopted.
    """
    if not actual.is_complete:
        return incomplete_plan(gateway, desired.revision, actual.error or "could not be observed")
    requested = frozenset(keys)
    places = Places(PlaceInputs(gateway.router, desired, actual, last, requested))
    view = classify(gateway, desired, actual, last, context, places.held)
    faults = [fault for key in sorted(requested) if (fault := _refusal(view, key, requested))]
    if faults:
        raise UsageError("; ".join(faults))
    # Without managed objects and renames the planner neither updates nor deletes anything.
    only = replace(
        view,
        wanted={key: view.wanted[key] for key in requested},
        managed={},
        renames={},
        fallback=frozenset(),
    )
    comparer = SpecComparer(gateway.project, context.secrets)
    plan = assemble_plan(only, decide(only, comparer, requested))
    return replace(
        plan,
        changes=sort_changes(_with_api_first(change, requested) for change in plan.changes),
        warnings=(*_taken_from_others(view, requested), *plan.warnings),
    )


def _taken_from_others(view: ClassifiedState, requested: Collection[Key]) -> Iterator[str]:
    for key in sorted(requested):
        if owner := view.foreign[key].owner:
            yield f"{key} is managed by the catalog {owner}: remove it there, or both will write it"


def _with_api_first(change: Change, requested: frozenset[Key]) -> Change:
    """Reverse the dependency between an API and its policies."""
    # A new API waits for its policies, so that it is never open. An adopted one is reachable
    # already, and its policies can only be taken over as parts of an API that is ours.
    owner = change.key.parent
    if owner is not None:
        needs = set(change.depends_on) | ({owner} & requested)
    else:
        needs = {need for need in change.depends_on if need.parent != change.key}
    return replace(change, depends_on=tuple(sorted(needs)))


def _refusal(view: ClassifiedState, key: Key, requested: frozenset[Key]) -> str | None:
    """Return why a key cannot be adopted, None where it can."""
    if key in view.managed:
        return f"{key} is managed already"
    if key not in view.wanted or key in view.fallback:
        return f"{key} is not in the catalog for {view.gateway.name}"
    if key not in view.foreign:
        return f"{key} does not exist on {view.gateway.name}; `apply` will create it"
    owner = key.parent
    if owner in view.foreign and owner not in requested:
        return f"{key} belongs to {owner}, which is not managed: adopt both"
    refuse = view.gateway.refuse_adoption
    reason = refuse(key.kind, view.foreign[key].spec.value) if refuse else ""
    reason = reason or view.held.get(key, "")
    return f"{key}: {reason}" if reason else None
