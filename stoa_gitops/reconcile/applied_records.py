"""From outcomes to the inventory: what is owned now, and what no longer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.planning import applied_record


def records_of(
    outcomes: Iterable[Outcome], revision: str, old: Mapping[Key, AppliedRecord]
) -> tuple[tuple[AppliedRecord, ...], tuple[Key, ...]]:
    """Return records to write and keys to drop; only what was applied counts."""
    applied = [outcome for outcome in outcomes if outcome.status is Status.APPLIED]
    records = (
        applied_record(o.change, o.gateway_id, revision, old.get(o.change.key)) for o in applied
    )
    removed = tuple(o.change.key for o in applied if o.change.action is Action.DELETE)
    return tuple(record for record in records if record is not None), removed
