"""Runs a cycle of a gateway, or does what one of another gateway in the same state did.

Lease, inventory, history and audit trail are of each gateway; what was read for it decides, before
and under the lease, whether it takes a shared plan.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from stoa_gitops.errors import LeaseHeld
from stoa_gitops.model.outcomes import Report
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.reconcile.cycle import CycleResult, cycle
from stoa_gitops.reconcile.plan_basis import OwnDraft, PlanBasis
from stoa_gitops.reconcile.session import GatewaySession, Prepared
from stoa_gitops.reconcile.shared_plans import SharedPlan


async def cycle_or_follow(
    session: GatewaySession, basis: PlanBasis, draft: OwnDraft
) -> CycleResult:
    """Run a cycle, unless a gateway in the same state has a plan to take; raises StoreError."""
    assignment = basis.assignment
    # With a public URL each gateway is called after a change: its own routes, not another's.
    if not basis.can_settle or assignment.instance.public_url:
        return await cycle(session, assignment)
    lead = session.plans.find(basis)
    if lead is not None:
        shared = await lead.wait()
        result = None if shared is None else await _follow(session, basis, draft, shared)
        return result or await cycle(session, assignment)
    with session.plans.leading(basis) as lead:
        result = await cycle(session, assignment)
        lead.shared = SharedPlan.of(basis, result, draft.state.snapshot)
        if lead.shared is not None:
            _share_records(session, lead.shared)
        return result


async def _follow(
    session: GatewaySession, basis: PlanBasis, draft: OwnDraft, shared: SharedPlan
) -> CycleResult | None:
    """Take a plan with what came of it; None, with nothing done, where it is not for this one."""
    if not shared.is_for(basis):
        return None
    assignment, result = basis.assignment, shared.result
    plan = shared.plan_for(assignment.instance.name)
    report = replace(result.report, plan=plan)
    if report.outcomes or result.updates:
        # On a thread: as in a cycle.
        digest = await asyncio.to_thread(lambda: PlanSet(plan.revision, (plan,)).digest)
        prepared = Prepared(assignment, plan, basis.read_at, basis.stored)
        try:
            async with session.recording(prepared, digest) as recorder:
                now = replace(basis, stored=recorder.stored, draft=draft.state)
                if not shared.is_for(now):
                    return None
                draft.take(shared.snapshot)
                recorder.outcomes += report.outcomes
                recorder.inventory_updates = result.updates
        except LeaseHeld as error:
            report = Report(plan, error=str(error))
            return CycleResult(report, is_ok=False)
    # What only its own next plan could be made from.
    session.cache.rest()
    suspended = await session.find_suspension(assignment)
    _share_records(session, shared)
    return replace(result, report=report, suspended=suspended)


def _share_records(session: GatewaySession, shared: SharedPlan) -> None:
    """Have the gateways that took a plan hold one inventory, where theirs are equal."""
    stored = session.cache.stored
    if stored is not None and stored.records == shared.records:
        session.cache.stored = replace(stored, records=shared.records)
