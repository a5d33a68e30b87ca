"""Taking ownership of objects that exist already: an action of its own, at a person's request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from stoa_gitops.errors import UsageError
from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, DesiredState
from stoa_gitops.planning.classification import ClassifiedState, classify
from stoa_gitops.planning.comparison import SpecComparer
from stoa_gitops.planning.inputs import GatewayPlanInput, PlanContext
from stoa_gitops.planning.order import sort_changes
from stoa_gitops.planning.planner import incomplete_plan, plan_classified


def plan_adoption(
    gateway: GatewayPlanInput,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
    keys: Collection[Key],
) -> Plan:
    """Plan to take over foreign objects under these keys, and nothing else.

    Each is one change ADOPT with the fields that writing the catalog's definition over it will change; from
    then on it is updated like any other. An API comes before its policies, for it is reachable already and they hang
    on it. Raises UsageError naming every key that the catalog or the gateway does not have, that is managed already,
    or that is a policy of an API which stays foreign.
    """
    if not actual.is_complete:
        return incomplete_plan(gateway, desired.revision, actual.error or "could not be observed")
    wished = frozenset(keys)
    view = classify(gateway, desired, actual, last, context)
    faults = [fault for key in sorted(wished) if (fault := _fault(view, key, wished))]
    if faults:
        raise UsageError("; ".join(faults))
    only = replace(
        view,
        wanted={key: view.wanted[key] for key in wished},
        managed={},
        renames={},
        fallback=frozenset(),
    )
    plan = plan_classified(only, SpecComparer(gateway.project, context.secrets), wished)
    return replace(
        plan, changes=sort_changes(_api_first(change, wished) for change in plan.changes)
    )


def _api_first(change: Change, wished: frozenset[Key]) -> Change:
    """Turn round who waits for whom between an API and its policies."""
    owner = change.key.parent
    if owner is not None:
        needs = set(change.depends_on) | ({owner} & wished)
    else:
        needs = {need for need in change.depends_on if need.parent != change.key}
    return replace(change, depends_on=tuple(sorted(needs)))


def _fault(view: ClassifiedState, key: Key, wished: frozenset[Key]) -> str | None:
    if key in view.managed:
        return f"{key} is managed already"
    if key not in view.wanted or key in view.fallback:
        return f"{key} is not in the catalog for {view.gateway.name}"
    if key not in view.foreign:
        return f"{key} does not exist on {view.gateway.name}; `apply` will create it"
    owner = key.parent
    if owner in view.foreign and owner not in wished:
        return f"{key} belongs to {owner}, which is not managed: adopt both"
    return None
