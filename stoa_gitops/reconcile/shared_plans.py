"""Plans that gateways in one state share: one of them makes and applies it, the others take it.

A plan is made from nothing but its basis. Gateways of one document that have the same desired
state, the same objects and the same past differ in their names alone, and so do their plans. Only
what ended as it should is shared; whoever meets a guard, a failure or a doubt plans for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from stoa_gitops.model.changes import Skip
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.reconcile.recorder import applied_records

if TYPE_CHECKING:
    from stoa_gitops.reconcile.cycle import CycleResult
    from stoa_gitops.reconcile.plan_basis import PlanBasis
    from stoa_gitops.reconcile.session import Assignment

CAPACITY: Final = 8
"""Plans that are kept: for documents, tenants and histories that are at work at one moment. Each
holds what it was made from, some megabytes for 10,000 APIs where nothing else does any more."""

PATIENCE: Final = 10.0
"""Seconds that others wait for the one that plans: it may wait for a lease, and they need not."""


@dataclass(frozen=True, slots=True)
class SharedPlan:
    """A plan that one gateway made and applied as it should be.

    basis     what it was made from
    result    of its cycle
    snapshot  its draft's objects afterwards
    records   its inventory afterwards; one mapping for all, so that they are alike at a glance
    """

    basis: PlanBasis
    result: CycleResult
    snapshot: object
    records: Mapping[Key, AppliedRecord]

    @classmethod
    def of(cls, basis: PlanBasis, result: CycleResult, snapshot: object) -> SharedPlan | None:
        """Return the plan of a cycle, None where it is for nobody else."""
        report = result.report
        is_whole = len(report.outcomes) == len(report.plan.changes) and all(
            outcome.status is Status.APPLIED for outcome in report.outcomes
        )
        is_right = result.is_ok and report.error is None and report.plan.complete and is_whole
        if not is_right or report.plan.holds or result.suspended:
            return None
        records = _records_after(basis.stored.records, result)
        return cls(basis, result, snapshot, records)

    def is_for(self, basis: PlanBasis) -> bool:
        """Whether a gateway with that basis would plan and do the same now."""
        return self.is_timely(basis.read_at) and basis.can_settle and basis.is_like(self.basis)

    def is_timely(self, now: datetime) -> bool:
        """Whether nothing was due between the plan and now; a step of the clock ends that."""
        until = self.result.next_check
        # What is due at once goes on with what this plan began: every gateway comes to that.
        is_due = until is not None and self.basis.read_at < until <= now
        return self.basis.read_at <= now and not is_due

    def plan_for(self, name: str) -> Plan:
        """Return the plan as a gateway of that name would have made it."""
        plan = self.result.report.plan
        # Messages name the gateway as `<document>/<identity>`, which is in no other text.
        skipped = tuple(_renamed(skip, plan.gateway, name) for skip in plan.skipped)
        return replace(plan, gateway=name, skipped=skipped)


def _records_after(
    before: Mapping[Key, AppliedRecord], result: CycleResult
) -> Mapping[Key, AppliedRecord]:
    outcomes, updates, revision = (
        result.report.outcomes,
        result.updates,
        result.report.plan.revision,
    )
    written, removed = applied_records(outcomes, revision, before)
    gone = {*updates.removed, *removed}
    new = {record.key: record for record in (*updates.records, *written)}
    if not (gone or new):
        return before
    return {key: record for key, record in before.items() if key not in gone} | new


def _renamed(skip: Skip, before: str, name: str) -> Skip:
    message, meanwhile = (text.replace(before, name) for text in (skip.message, skip.meanwhile))
    is_same = (message, meanwhile) == (skip.message, skip.meanwhile)
    return skip if is_same else replace(skip, message=message, meanwhile=meanwhile)


@dataclass(eq=False, slots=True)
class Lead:
    """A cycle that others wait for. `shared` is what it came to, None where that is for nobody."""

    basis: PlanBasis
    shared: SharedPlan | None = None
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> SharedPlan | None:
        """Wait until the cycle has ended, PATIENCE at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._done.wait()
        return self.shared

    def end(self) -> None:
        """Let those go on that wait."""
        self._done.set()


@dataclass
class SharedPlans:
    """The last plans that may be shared, for all gateways of a process; for one event loop."""

    _leads: list[Lead] = field(default_factory=list)

    def find_references(
        self, assignment: Assignment, records: Mapping[Key, AppliedRecord]
    ) -> frozenset[tuple[str, str]] | None:
        """Return the references to secrets of a gateway in the same state; None without one."""
        found = (lead.basis for lead in reversed(self._leads))
        like = (one for one in found if one.has_same_references(assignment, records))
        return next((one.references for one in like), None)

    def find(self, basis: PlanBasis) -> Lead | None:
        """Return the cycle of a gateway in the same state; it may still run."""
        return next((lead for lead in reversed(self._leads) if basis.is_like(lead.basis)), None)

    @contextlib.contextmanager
    def leading(self, basis: PlanBasis) -> Iterator[Lead]:
        """Have others wait for the cycle in the block, and take what it sets as `shared`."""
        lead = Lead(basis)
        self._leads = [*self._leads[1 - CAPACITY :], lead]
        try:
            yield lead
        finally:
            lead.end()
            if lead.shared is None:
                self._leads = [one for one in self._leads if one is not lead]
