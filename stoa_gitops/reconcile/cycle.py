"""One pass over one gateway. Everything that happens to a gateway while the process runs is on this screen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stoa_gitops.model.outcomes import Report, Status
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.reconcile.session import Assignment, GatewaySession


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What a cycle came to, and when the next look is due: soon after a failure, or at an expiry.

    retry_after  in seconds, where the gateway asked for patience
    reason       why the gateway could not be worked: a name of errors.py, empty where it could
    suspended    who or what suspended the gateway, in words; empty where it is not
    """

    report: Report
    is_well: bool
    next_check: datetime | None = None
    retry_after: float = 0.0
    reason: str = ""
    suspended: str = ""


async def cycle(session: GatewaySession, assignment: Assignment) -> CycleResult:
    """Bring one gateway to what one revision asks. Raises StoreError when nothing can be remembered."""
    # 0 health, 1 desired (with what stands in for broken documents), 2 observe, 3 plan, 4 guard
    prepared = await session.prepare(assignment)
    plan, when = prepared.plan, prepared.next_check
    suspended = await session.suspended(assignment)
    if not plan.complete:
        report = Report(plan, error=plan.error)
        patience, reason = prepared.retry_after, prepared.reason
        return CycleResult(
            report, is_well=False, retry_after=patience, reason=reason, suspended=suspended
        )
    if suspended or not prepared.has_work:
        return CycleResult(Report(plan), is_well=True, next_check=when, suspended=suspended)

    # 5 apply, 6 verify, 7 record
    digest = PlanSet(plan.revision, (plan,)).digest
    report = await session.apply(prepared, digest=digest)
    patience = max((outcome.retry_after for outcome in report.outcomes), default=0.0)
    suspended = await session.suspended(assignment)  # somebody may have, while it was written to
    return CycleResult(report, _is_well(report), when, patience, suspended=suspended)


def _is_well(report: Report) -> bool:
    """Whether there is nothing to try again soon: what is held or quarantined waits for something else.

    Where something was quarantined and so blocked its dependants, the next cycle plans around it.
    """
    statuses = {outcome.status for outcome in report.outcomes}
    is_half_way = {Status.QUARANTINED, Status.BLOCKED} <= statuses
    return report.error is None and Status.FAILED not in statuses and not is_half_way
