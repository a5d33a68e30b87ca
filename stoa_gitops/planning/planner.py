"""Plans one gateway: desired, last applied and actual in; ordered changes, skips and holds out.

Pure: the same inputs give the same plan, in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stoa_gitops.model.changes import Action, Change, Direction, Skip, SkipReason
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, DesiredState, Resource
from stoa_gitops.planning.classification import ClassifiedState, classify
from stoa_gitops.planning.comparison import Comparison, SpecComparer
from stoa_gitops.planning.consent import ENDED
from stoa_gitops.planning.decisions import Decisions, assemble_plan
from stoa_gitops.planning.inputs import GatewayPlanInput, PlanContext
from stoa_gitops.planning.names import held_names
from stoa_gitops.planning.places import PlaceInputs, Places, find_places
from stoa_gitops.planning.prune import plan_deletions
from stoa_gitops.planning.skips import find_skips, losses
from stoa_gitops.planning.subscriptions import without_subscriptions


def plan_gateway(
    gateway: GatewayPlanInput,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
) -> Plan:
    """Return the plan of one gateway.

    `last` holds what was last applied there, by key. A gateway that could not be read has an
    incomplete plan without changes. Changes in `Plan.holds` are applied only by force.

        gateway = GatewayPlanInput("edge", "kong")
        plan = plan_gateway(gateway, desired, actual, records, PlanContext(datetime.now(UTC)))
        [(change.action, str(change.key)) for change in plan.changes]
    """
    if not actual.is_complete:
        return incomplete_plan(gateway, desired.revision, actual.error or "could not be observed")
    comparer = SpecComparer(gateway.project, context.secrets)
    view = classify(gateway, desired, actual, last, context)
    return assemble_plan(*decide_places(view, comparer, desired, actual)[:2])


def incomplete_plan(gateway: GatewayPlanInput, revision: str, error: str) -> Plan:
    """Return the plan of a gateway that could not be observed: no changes, and the reason."""
    return Plan(
        gateway=gateway.name,
        gateway_type=gateway.gateway_type,
        revision=revision,
        complete=False,
        error=error,
        title=gateway.title,
    )


def decide_places(
    view: ClassifiedState, comparer: SpecComparer, desired: DesiredState, actual: ActualState
) -> tuple[ClassifiedState, Decisions, Places | None]:
    """Decide about every key, and again where some must be held for the sake of others.

    Returns the state with what is held, too, and all places where they had to be found.
    """
    decisions = decide(view, comparer)
    inputs = PlaceInputs(view.gateway.router, desired, actual, view.last)
    places = find_places(inputs, decisions.writes, view.managed)
    held = held_apis(inputs, places, has_one_name_space=view.gateway.has_one_name_space)
    if held:
        view = replace(view, held=held)
        decisions = decide(view, comparer)
    return view, decisions, places


def held_apis(
    inputs: PlaceInputs, places: Places | None, *, has_one_name_space: bool
) -> Mapping[Key, str]:
    """Return the APIs that are held for the sake of others, by their routes or their names."""
    held = places.held if places is not None else {}
    if not has_one_name_space:
        return held
    seen = {one.key for one in inputs.actual.objects if one.managed}
    there = seen | inputs.last.keys()
    return {**held_names(inputs.desired.resources, there, there), **held}


def decide(
    view: ClassifiedState, comparer: SpecComparer, adopting: frozenset[Key] = frozenset()
) -> Decisions:
    """Decide about every key of a classified state."""
    skipped = find_skips(view, adopting)
    writes, waiting = _writes(view, comparer, skipped, adopting)
    deletes, kept = plan_deletions(view, skipped)
    return Decisions(
        skipped=skipped,
        writes=writes,
        deletes={change.key: change for change in deletes},
        retained={skip.key: skip for skip in (*waiting, *kept)},
        lost=losses(view, skipped),
    )


def _writes(
    view: ClassifiedState,
    comparer: SpecComparer,
    skipped: Mapping[Key, Skip],
    adopting: frozenset[Key],
) -> tuple[dict[Key, Change], list[Skip]]:
    """Compare every wanted object; return changes, and skips of fallbacks that are equal."""
    changes: dict[Key, Change] = {}
    skips: list[Skip] = []
    absent = _absent_apis(view, skipped)
    for key, resource in view.wanted.items():
        if key in skipped:
            continue
        # A subscription to an API that does not exist would be refused together with the
        # application.
        if absent and key.kind == APPLICATION:
            resource = without_subscriptions(resource, absent)  # noqa: PLW2901  # compared and written without them
        change = _write(view, comparer, resource, adopting)
        if change is not None:
            changes[key] = _with_fallback_reason(view, change)
        elif key in view.fallback or key in view.partly:
            skips.append(_kept_fallback(view, key))
    return changes, skips


def _absent_apis(view: ClassifiedState, skipped: Mapping[Key, Skip]) -> frozenset[Key]:
    """Return the APIs that this plan skips and that the gateway does not have, or will not."""
    gone = (key for key in view.ended_places if key not in view.wanted)
    return frozenset(gone) | frozenset(
        key
        for key, skip in skipped.items()
        if key.kind == API
        and skip.is_failure
        and key not in view.managed
        and key not in view.foreign
    )


def _write(
    view: ClassifiedState, comparer: SpecComparer, resource: Resource, adopting: frozenset[Key]
) -> Change | None:
    key = resource.key
    record = view.last.get(key)
    seen = view.managed.get(key)
    if seen is not None:
        difference = comparer.compare(resource, seen, record)
        return None if difference is None else _update(Action.UPDATE, key, difference, view)
    # Compared like an update, so that the review shows what adopting overwrites.
    if key in adopting and key in view.foreign:
        difference = comparer.compare(resource, view.foreign[key], record)
        if difference is not None:
            return _update(Action.ADOPT, key, difference, view)
        # Equal already: only the ownership changes.
        hmacs = comparer.compare_secrets(resource, record).hmacs
        return Change(
            Action.ADOPT, key, resource, view.foreign[key], secret_hmacs=hmacs, reason=_ADOPTED
        )
    return _creation(view, comparer, resource, record)


# Part of outputs and of the audit trail.
_ADOPTED = "taken over at a person's request"


def _update(action: Action, key: Key, difference: Comparison, view: ClassifiedState) -> Change:
    is_adoption = action is Action.ADOPT
    return Change(
        action=action,
        key=key,
        resource=difference.resource,
        observed=view.foreign[key] if is_adoption else view.managed[key],
        fields=difference.fields,
        reason=_ADOPTED if is_adoption else difference.reason,
        direction=difference.direction,
        secret_hmacs=difference.secret_hmacs,
    )


def _creation(
    view: ClassifiedState, comparer: SpecComparer, resource: Resource, record: AppliedRecord | None
) -> Change:
    """Return the creation of a missing object; one that has a record has vanished.

    Where nothing at all is there, and nobody took it away, that is no drift.
    """
    direction, reason = Direction.UNKNOWN, ""
    if record is not None and view.gateway.begins_empty and not view.managed_total:
        reason = "the gateway began empty"
    elif record is not None:
        is_same = record.spec == resource.spec
        direction = Direction.GATEWAY if is_same else Direction.BOTH
        reason = "vanished from the gateway"
    elif resource.hints.moved_from and resource.hints.moved_from in view.managed:
        reason = f"renamed from {resource.hints.moved_from}"
    return Change(
        action=Action.CREATE,
        key=resource.key,
        resource=resource,
        reason=reason,
        direction=direction,
        secret_hmacs=comparer.compare_secrets(resource, record).hmacs,
    )


def _with_fallback_reason(view: ClassifiedState, change: Change) -> Change:
    """Add the reason where the last applied record replaces what the document says."""
    if change.key in view.ending:
        return replace(change, reason=ENDED)
    if change.key in view.ended_places:
        return replace(change, reason=view.ended_places[change.key])
    message = _fallback_message(view, change.key)
    if not message:
        return change
    return replace(change, reason=f"{change.reason}; {message}" if change.reason else message)


def _fallback_message(view: ClassifiedState, key: Key) -> str:
    """Return what of a key stays as last applied, and why; empty where nothing does."""
    broken = view.context.broken
    if key in view.fallback:
        revision = view.last[key].revision
        return f"stays as last applied (at {revision}), {broken.because(key)}"
    apis = view.partly.get(key, ())
    if not apis:
        return ""
    names = ", ".join(map(str, apis))
    return f"what it has of {names} stays as last applied, {broken.because(apis[0])}"


def _kept_fallback(view: ClassifiedState, key: Key) -> Skip:
    return Skip(key, SkipReason.CATALOG_BROKEN, _fallback_message(view, key))
