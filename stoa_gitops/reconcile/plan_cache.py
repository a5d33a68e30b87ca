"""What is kept of a gateway between two cycles, so that a cycle that finds nothing new costs little.

Everything here is found again without it: it is never written down, and a session without a memory does the same work
from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import AppliedRecord, DesiredState, Observed, Resource
from stoa_gitops.planning import (
    BrokenScope,
    InventoryUpdates,
    PlanState,
    next_expiry,
    secret_references,
)
from stoa_gitops.store import StoredState


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a plan is made from, but for the time.

    The large values are compared by identity: who hands in an equal copy only pays for planning once more.
    """

    resources: Mapping[Key, Resource]
    objects: tuple[Observed, ...]
    records: Mapping[Key, AppliedRecord]
    rest: tuple[object, ...]

    def is_same(self, other: Inputs) -> bool:
        """Whether a plan from the other inputs is a plan from these."""
        return (
            self.resources is other.resources
            and self.objects is other.objects
            and self.records is other.records
            and self.rest == other.rest
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and its upkeep, what they were made from, and until when they hold.

    `drawn` is what the next plan is made out of where only few keys have moved.
    """

    inputs: Inputs
    drawn: PlanState
    plan: Plan
    inventory_updates: InventoryUpdates
    since: datetime
    until: datetime | None

    def holds(self, inputs: Inputs, now: datetime) -> bool:
        """Whether planning again would give the same; a clock that went backwards says no."""
        is_in_time = self.since <= now and (self.until is None or now < self.until)
        return is_in_time and self.inputs.is_same(inputs)


@dataclass
class PlanCache:
    """Belongs to one gateway of one process. Sessions may share it: its values are replaced, never changed."""

    stored: StoredState | None = None
    planned: Planned | None = None
    _references: tuple[object, object, BrokenScope, frozenset[str]] | None = None
    _expiry: tuple[object, datetime, datetime | None] | None = field(default=None)

    def references(
        self, desired: DesiredState, records: Mapping[Key, AppliedRecord], broken: BrokenScope
    ) -> frozenset[str]:
        """Return the secret references that a plan needs."""
        known = self._references
        if (
            known is not None
            and known[0] is desired.resources
            and known[1] is records
            and known[2] == broken
        ):
            return known[3]
        found = secret_references(desired, records, broken)
        self._references = (desired.resources, records, broken, found)
        return found

    def expiry(self, desired: DesiredState, now: datetime) -> datetime | None:
        """Return when a subscription runs out next."""
        known = self._expiry
        if (
            known is not None
            and known[0] is desired.resources
            and known[1] <= now
            and (known[2] is None or now < known[2])
        ):
            return known[2]
        end = next_expiry(desired, now)
        self._expiry = (desired.resources, now, end)
        return end
