"""Writing down what became of a plan while it is carried out, so that a killed process loses little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.planning import InventoryUpdates
from stoa_gitops.reconcile.applied_records import records_of
from stoa_gitops.store import CycleEntry, Quarantined, Store, StoredState

FLUSH_EVERY = 200
"""Outcomes after which progress is written down."""


@dataclass
class Recorder:
    """One cycle's way into the store; `upkeep` goes with what is written first.

    Raises StoreError when it cannot be written: nothing of that step is stored then.
    """

    store: Store
    stored: StoredState
    entry: CycleEntry
    inventory_updates: InventoryUpdates
    outcomes: list[Outcome] = field(default_factory=list)
    _written: int = 0

    @property
    def is_due(self) -> bool:
        """Whether enough has come together to be written down."""
        return len(self.outcomes) - self._written >= FLUSH_EVERY

    @property
    def unwritten(self) -> Sequence[Outcome]:
        """What has come together since something was written last."""
        return self.outcomes[self._written :]

    async def write(self, refused: Sequence[Quarantined] = ()) -> None:
        """Write what was not written yet, in one transaction; nothing when there is nothing."""
        new = self.unwritten
        if not (new or self.inventory_updates):
            return
        records, removed = records_of(new, self.entry.revision, self.stored.records)
        keys = {outcome.change.key for outcome in new}
        entry = replace(
            self.entry,
            outcomes=tuple(new),
            records=(*self.inventory_updates.records, *records),
            removed=(*self.inventory_updates.forget, *removed),
            quarantined=tuple(one for one in refused if one.key in keys),
        )
        await self.store.record_cycle(self.stored.scope, entry)
        self._written, self.inventory_updates = len(self.outcomes), InventoryUpdates()
