"""Finds what the store has to record though nothing is written to the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stoa_gitops.model.canonical import SECRET_MARK
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import ActualState, AppliedRecord, DesiredState, Observed, Resource
from stoa_gitops.planning.classification import ClassifiedState, classify
from stoa_gitops.planning.comparison import SpecComparer
from stoa_gitops.planning.inputs import GatewayPlanInput, PlanContext


@dataclass(frozen=True, slots=True)
class InventoryUpdates:
    """Records to write for objects that match, and keys whose records have no object any more."""

    records: tuple[AppliedRecord, ...] = ()
    removed: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.records or self.removed)

    def also_removing(self, keys: tuple[Key, ...]) -> InventoryUpdates:
        """Return these updates with further keys to drop; themselves where there are none."""
        return InventoryUpdates(self.records, (*self.removed, *keys)) if keys else self


def find_inventory_updates(
    gateway: GatewayPlanInput,
    desired: DesiredState,
    actual: ActualState,
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
) -> InventoryUpdates:
    """Return the updates that go with a plan from the same inputs; nothing after a failed read.

    They rebuild a lost store from the marks on the gateway, let `protect` be set and lifted without
    a change of the object, and keep the direction of later drift right.
    """
    if not actual.is_complete:
        return InventoryUpdates()
    view = classify(gateway, desired, actual, last, context)
    return updates_of_view(view, SpecComparer(gateway.project, context.secrets))


def updates_of_view(view: ClassifiedState, comparer: SpecComparer) -> InventoryUpdates:
    """Return the updates of a classified state; both parts are sorted by key."""
    context = view.context
    records = [
        record
        for key, wanted in view.wanted.items()
        if (seen := view.managed.get(key)) is not None
        and key not in view.fallback
        and (record := _renewed(view, comparer, wanted, seen)) is not None
    ]
    gone = (
        key
        for key in view.last
        if context.is_in_scope(key) and key not in view.wanted and key not in view.managed
    )
    # Not in a broken scope: the record is what the object falls back to.
    removed = tuple(sorted(key for key in gone if not context.broken.covers(key)))
    records.sort(key=lambda record: record.key)
    return InventoryUpdates(tuple(records), removed)


def _renewed(
    view: ClassifiedState, comparer: SpecComparer, wanted: Resource, seen: Observed
) -> AppliedRecord | None:
    """Return the new record of a matching object; None if it is current or the object differs."""
    old = view.last.get(wanted.key)
    if old is not None and _is_current(old, wanted, seen):
        return None
    if comparer.compare(wanted, seen, old) is not None:
        return None
    # Kept for references that do not resolve at the moment: they may be unchanged.
    hmacs = dict(old.secret_hmacs) if old else {}
    if SECRET_MARK in wanted.spec.raw:
        hmacs |= dict(comparer.compare_secrets(wanted, old).hmacs)
    return AppliedRecord(
        key=wanted.key,
        spec=wanted.spec,
        gateway_id=seen.gateway_id,
        revision=view.revision,
        secret_hmacs=hmacs,
        adopted=old.adopted if old else False,
        protected=wanted.hints.protected,
    )


def _is_current(old: AppliedRecord, wanted: Resource, seen: Observed) -> bool:
    return (
        old.spec == wanted.spec
        and old.gateway_id == seen.gateway_id
        and old.protected == wanted.hints.protected
    )


def applied_record(
    change: Change, gateway_id: str, revision: str, old: AppliedRecord | None = None
) -> AppliedRecord | None:
    """Return the record of an applied change; None for a deletion, whose record is dropped.

    `old` is the record before it: an adopted object stays marked as adopted.
    """
    if change.resource is None:
        return None
    return AppliedRecord(
        key=change.key,
        spec=change.resource.spec,
        gateway_id=gateway_id,
        revision=revision,
        secret_hmacs=dict(change.secret_hmacs),
        adopted=change.action is Action.ADOPT or (old is not None and old.adopted),
        protected=change.resource.hints.protected,
    )
