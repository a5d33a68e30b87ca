"""One cycle of one gateway: observe, plan, apply, record."""

from __future__ import annotations

from typing import Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.outcomes import Report
from stoa_gitops.operations.plan import prepare_failure
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.reconcile.cycle import CycleResult, cycle
from stoa_gitops.reconcile.forced import Forced
from stoa_gitops.reconcile.plan_basis import OwnDraft
from stoa_gitops.reconcile.session import Assignment
from stoa_gitops.reconcile.settled import cycle_unless_settled

SMALL: Final = 300
"""Resources of which a plan is made from nothing in some milliseconds: it is not kept for gateways
to which nothing happens, of which there may be thousands."""


async def reconcile_gateway(
    workspace: Workspace,
    catalog: Catalog,
    assignment: Assignment,
    forced: Forced | None = None,
    draft: OwnDraft | None = None,
    *,
    is_asked: bool = False,
) -> CycleResult:
    """Run one cycle, in which the plan that somebody `forced` is applied though guards hold it.

    With a `draft` of ours only where something moved since the last one
    (`reconcile.settled`), or where it `is_asked` for.

    A gateway for which no session can be made is a result, too. Raises StoreError when nothing can
    be remembered: without the inventory a plan would guess.
    """
    try:
        principal = forced.principal if forced else None
        session = await workspace.session(catalog, assignment.instance, principal)
    except StoaGitopsError as error:
        plan = prepare_failure(assignment, error, workspace.context.clock()).plan
        return CycleResult(Report(plan, error=plan.error), is_ok=False, reason=error.reason)
    if draft is not None and forced is None:
        result = await cycle_unless_settled(session, assignment, draft, is_asked=is_asked)
        if session.cache.settled and len(assignment.desired.resources) <= SMALL:
            workspace.rest(assignment.instance.name)
        return result
    return await cycle(session, assignment, forced)
