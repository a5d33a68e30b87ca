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
    next_look: datetime | None = None
    retry_after: float = 0.0
    reason: str = ""
    suspended: str = ""


async def cycle(session: GatewaySession, assignment: Assignment) -> CycleResult:
    """Observe, plan, guard, apply, verify, record. Raises StoreError when nothing can be remembered."""
    prepared = await session.prepare(assignment)  # health, observe, plan, guard
    plan = prepared.plan
    if not plan.complete:
        return CycleResult(
            Report(plan, error=plan.error), is_well=False, retry_after=prepared.retry_after
        )
    if assignment.instance.suspended:
        return CycleResult(Report(plan), is_well=True, next_look=prepared.next_look)
    digest = PlanSet(plan.revision, (plan,)).digest
    report = await session.carry_out(prepared, digest=digest)  # apply, verify, record
    transient = any(o.status in (Status.FAILED, Status.BLOCKED) for o in report.outcomes)
    return CycleResult(
        report, is_well=report.error is None and not transient, next_look=prepared.next_look
    )
