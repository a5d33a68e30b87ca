"""Taking ownership of objects that exist already: an action of its own, at a person's request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from stoa_gitops.errors import UsageError
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, DesiredState
from stoa_gitops.planning.merge import Merge
from stoa_gitops.planning.planner import incomplete, plan_survey
from stoa_gitops.planning.survey import Survey, survey
from stoa_gitops.planning.target import Situation, Target


def plan_adoption(
    target: Target,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    situation: Situation,
    keys: Collection[Key],
) -> Plan:
    """Plan to take over foreign objects under these keys, and nothing else.

    Each is one change ADOPT with the fields that writing the catalog's definition over it will change; from
    then on it is updated like any other. Raises UsageError naming every key that the catalog
    or the gateway does not have, or that is managed already.
    """
    if not actual.is_complete:
        return incomplete(target, desired.revision, actual.error or "could not be observed")
    wished = frozenset(keys)
    view = survey(target, desired, actual, last, situation)
    faults = [fault for key in sorted(wished) if (fault := _fault(view, key))]
    if faults:
        raise UsageError("; ".join(faults))
    only = replace(
        view,
        wanted={key: view.wanted[key] for key in wished},
        managed={},
        moves={},
        standing=frozenset(),
    )
    return plan_survey(only, Merge(target.project, situation.secrets), wished)


def _fault(view: Survey, key: Key) -> str | None:
    if key in view.managed:
        return f"{key} is managed already"
    if key not in view.wanted or key in view.standing:
        return f"{key} is not in the catalog for {view.target.name}"
    if key not in view.foreign:
        return f"{key} does not exist on {view.target.name}; `apply` will create it"
    return None
