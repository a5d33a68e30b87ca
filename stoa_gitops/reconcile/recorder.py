"""Records outcomes in the store while a plan is applied, so that a killed process loses little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stoa_gitops.drivers.execution import VERIFIED_AGAIN
from stoa_gitops.drivers.route_probe import PROBE_FAILED
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.planning import InventoryUpdates, applied_record
from stoa_gitops.store import CycleEntry, Quarantined, Store, StoredState

FLUSH_EVERY = 200
"""Outcomes that are written at a time: a transaction costs milliseconds, and a kill loses these."""


@dataclass
class Recorder:
    """Writes the outcomes of one cycle; `inventory_updates` go with what is written first.

    find_refusals  returns the entries that outcomes add to the quarantine
    """

    store: Store
    stored: StoredState
    entry: CycleEntry
    inventory_updates: InventoryUpdates
    find_refusals: Callable[[Sequence[Outcome]], Iterable[Quarantined]]
    outcomes: list[Outcome] = field(default_factory=list)
    _written: int = 0

    @property
    def is_due(self) -> bool:
        """Whether enough outcomes wait to be written."""
        return len(self.outcomes) - self._written >= FLUSH_EVERY

    @property
    def unwritten(self) -> Sequence[Outcome]:
        """The outcomes since the last write."""
        return self.outcomes[self._written :]

    async def write_outcomes(self) -> None:
        """Write what was not written yet in one transaction; nothing when there is nothing.

        Raises StoreError when it cannot be written: nothing of the transaction is stored then, and
        the next call tries all of it again.
        """
        new = self.unwritten
        if not (new or self.inventory_updates):
            return
        records, removed = applied_records(new, self.entry.revision, self.stored.records)
        entry = replace(
            self.entry,
            outcomes=tuple(new),
            records=(*self.inventory_updates.records, *records),
            removed=(*self.inventory_updates.removed, *removed),
            quarantined=tuple(self.find_refusals(new)),
        )
        await self.store.record_cycle(self.stored.scope, entry)
        # Only after the store has them: an error leaves them for the next call.
        self._written, self.inventory_updates = len(self.outcomes), InventoryUpdates()


def applied_records(
    outcomes: Iterable[Outcome], revision: str, old: Mapping[Key, AppliedRecord]
) -> tuple[tuple[AppliedRecord, ...], tuple[Key, ...]]:
    """Return the records to write and the keys to drop.

    What was written counts, also where its routes did not answer. A record that is written again as
    it is says that they do now.
    """
    records: list[AppliedRecord | None] = []
    removed: list[Key] = []
    for outcome in outcomes:
        change, before = outcome.change, old.get(outcome.change.key)
        if change.reason == VERIFIED_AGAIN:
            records.append(before if outcome.status is Status.UNCHANGED else None)
        elif outcome.status is Status.APPLIED or outcome.reason == PROBE_FAILED:
            records.append(applied_record(change, outcome.gateway_id, revision, before))
            if change.action is Action.DELETE:
                removed.append(change.key)
    return tuple(record for record in records if record is not None), tuple(removed)
