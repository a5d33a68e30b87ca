"""Spares cycles of gateways whose actual state is our own, while nothing moved that decides.

What a gateway fetches is a draft in this process. Only we write to it, so it cannot drift, and a
plan from the same inputs is the same plan. Every doubt runs a cycle.
"""

from __future__ import annotations

from dataclasses import replace

from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.plan_basis import OwnDraft, SettledCycle
from stoa_gitops.reconcile.session import Assignment, GatewaySession
from stoa_gitops.reconcile.shared_cycle import cycle_or_follow


async def cycle_unless_settled(
    session: GatewaySession, assignment: Assignment, draft: OwnDraft, *, is_asked: bool = False
) -> CycleResult:
    """Run a cycle of a gateway whose draft is ours, or return the last result where it holds.

    With `is_asked` there is a cycle in any case. Raises StoreError as `cycle` does.
    """
    # Read before the cycle: what moves while it runs makes the next one differ.
    basis = await session.read_basis(assignment, draft.state)
    known = session.cache.settled
    if not is_asked and known is not None and known.holds_for(basis):
        return replace(known.result, is_settled=True)
    session.cache.settled = None
    result = await cycle_or_follow(session, basis, draft)
    report = result.report
    has_nothing = report.is_converged and not report.plan.changes and not report.outcomes
    if result.is_ok and has_nothing and not result.suspended and basis.can_settle:
        session.cache.settled = SettledCycle(basis, result)
    return result
