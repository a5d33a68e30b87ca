"""One reconcile cycle of one gateway. Its eight steps are the calls in this file, in their order:

health, desired, observe, plan, guard · apply, verify, record. A cycle takes all of them; the
commands `plan` and `apply` take the same ones, with a confirmation between the two halves.

A cycle does not write where the gateway is suspended (`find_suspension`), where it could not be
read, or where nothing is left to do; `session.guard` and the planner's guards (`planning`:
`prune_budget`, `write_policy`, `skips`) hold single changes, and `GatewayWriter` leaves them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from stoa_gitops.errors import LeaseHeld
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Report, Status
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.planning import InventoryUpdates, frees_places, has_ended_rights
from stoa_gitops.reconcile.forced import Forced
from stoa_gitops.reconcile.session import Assignment, GatewaySession, Prepared


@dataclass(frozen=True, slots=True)
class CycleResult:
    """The result of a cycle, and when the next one is due: soon after a failure, or at an expiry.

    is_ok        nothing has to be tried again soon
    next_check   when the plan may change by itself; None where it does not
    retry_after  in seconds, where the gateway asked for a pause
    reason       why the gateway could not be read: a name of errors.py, empty where it could
    suspended    who or what suspended the gateway, as a message; empty where it is not
    is_settled   it is that of an earlier cycle: nothing has moved since (`settled`)
    updates      what the store had to learn beside the outcomes
    """

    report: Report
    is_ok: bool
    next_check: datetime | None = None
    retry_after: float = 0.0
    reason: str = ""
    suspended: str = ""
    is_settled: bool = False
    updates: InventoryUpdates = field(default_factory=InventoryUpdates)


async def cycle(
    session: GatewaySession, assignment: Assignment, forced: Forced | None = None
) -> CycleResult:
    """Bring one gateway to what one revision asks; what guards hold only if it is `forced`.

    Raises StoreError where the store cannot be read or written: planning without it would guess.

        result = await cycle(session, Assignment(instance, desired))
        result.is_ok, result.report.outcomes, result.next_check
    """
    prepared = await prepare_plan(session, assignment)
    plan = prepared.plan
    suspended = await session.find_suspension(assignment)
    if not plan.complete:
        report = Report(plan, error=plan.error)
        pause, reason = prepared.retry_after, prepared.reason
        return CycleResult(
            report, is_ok=False, retry_after=pause, reason=reason, suspended=suspended
        )
    if suspended or not (prepared.has_work or (forced is not None and plan.changes)):
        return CycleResult(
            Report(plan), is_ok=True, next_check=prepared.next_check, suspended=suspended
        )
    # On a thread: it is made from each change, 0.2 s for those of 10,000 new APIs.
    digest = await asyncio.to_thread(lambda: PlanSet(plan.revision, (plan,)).digest)
    is_forced = forced is not None and forced.covers(digest)
    if not (prepared.has_work or is_forced):
        return CycleResult(Report(plan), is_ok=True, next_check=prepared.next_check)
    report = await apply_plan(session, prepared, digest=digest, force=is_forced)
    pause = max((outcome.retry_after for outcome in report.outcomes), default=0.0)
    # Asked again, because a person may have suspended the gateway while it was written to.
    suspended = await session.find_suspension(assignment)
    is_ok = _is_ok(report)
    # Somebody waits for a place that is free now, or lost a right first: the next plan goes on.
    is_due = is_ok and (frees_places(plan) or has_ended_rights(plan))
    next_check = prepared.started_at if is_due else prepared.next_check
    updates = prepared.inventory_updates
    return CycleResult(report, is_ok, next_check, pause, suspended=suspended, updates=updates)


async def prepare_plan(
    session: GatewaySession, assignment: Assignment, adopting: Collection[Key] = ()
) -> Prepared:
    """Observe and plan; a gateway that cannot be read gives an incomplete plan. Writes nothing.

    With `adopting` the plan takes over these foreign objects and does nothing else; UsageError
    names those that cannot be adopted. Raises StoreError.
    """
    run = session.begin(assignment)
    health = await session.check_health()
    if not health.success:
        error = health.error or "no answer"
        return session.unreadable(run, error, health.reason, health.retry_after)
    desired = await session.load_desired(run)
    actual = await session.observe(desired)
    if actual.error is not None:
        return session.unreadable(run, actual.error, actual.error_reason, actual.retry_after)
    prepared = await session.plan(desired, actual, adopting)
    if health.warnings:
        plan = prepared.plan
        plan = replace(plan, warnings=(*health.warnings, *plan.warnings))
        prepared = replace(prepared, plan=plan)
    return session.guard(prepared)


async def apply_plan(
    session: GatewaySession,
    prepared: Prepared,
    *,
    digest: str,
    force: bool = False,
    as_archive: bool = False,
) -> Report:
    """Apply a plan but for what guards hold; `force` applies that, too.

    `as_archive` writes it as one archive, where the gateway can import one.

    Batch by batch, because changes wait for those that they depend on: what could not be verified
    blocks its dependants in later batches. What is recorded is stored every 200 outcomes and at the
    end, also where the end is a cancellation.
    Nothing that a gateway does raises; StoreError where outcomes cannot be recorded.
    """
    plan = prepared.plan
    if not plan.complete:
        return Report(plan, error=plan.error)
    try:
        async with session.write(prepared, digest, force=force, as_archive=as_archive) as writer:
            async for batch in writer.apply():
                verified = await writer.verify(batch)
                await writer.record(verified)
            await writer.record(await writer.verify_again(prepared.unverified))
    except LeaseHeld as error:  # another process writes to this gateway, or has just done so
        return Report(plan, error=str(error))
    outcomes = writer.outcomes
    warnings = dict.fromkeys(warning for outcome in outcomes for warning in outcome.warnings)
    return Report(plan, tuple(outcomes), warnings=tuple(warnings))


def _is_ok(report: Report) -> bool:
    """Whether nothing has to be tried again soon: what is held or quarantined waits for others.

    Where a quarantined object blocked its dependants, the next cycle plans around it.
    """
    statuses = {outcome.status for outcome in report.outcomes}
    has_blocked = {Status.QUARANTINED, Status.BLOCKED} <= statuses
    return report.error is None and Status.FAILED not in statuses and not has_blocked
