"""`apply`: checks a plan against its guards and its reviewed digest, and applies it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from stoa_gitops.errors import DigestMismatch, UnsafePlan, UsageError
from stoa_gitops.model.outcomes import Report, ReportSet

if TYPE_CHECKING:
    from stoa_gitops.model.plan import PlanSet
    from stoa_gitops.model.principal import Principal
    from stoa_gitops.operations.plan import PreparedSet
    from stoa_gitops.operations.workspace import Workspace
    from stoa_gitops.reconcile.session import Prepared, SessionContext


def check_digest(plans: PlanSet, digest: str) -> None:
    """Raise DigestMismatch for a plan that is not the reviewed one.

    `digest` may be the first digits of it, in either case.
    """
    if not plans.digest.startswith(digest.lower()):
        raise DigestMismatch(
            f"the plan is now {plans.digest[:8]}, not {digest}: something changed since it was "
            "reviewed; look at it again and apply its digest"
        )


def check_guards(plans: PlanSet) -> None:
    """Raise UnsafePlan, with its reason, for a plan that a guard holds."""
    # The first one is enough: a person looks at the plan, where all of them stand.
    for plan in plans.plans:
        for hold in plan.holds:
            raise UnsafePlan(f"refused: {hold.message}")


def check_archives(workspace: Workspace, prepared: PreparedSet) -> None:
    """Raise UsageError where a plan cannot be written as one archive."""
    others = [
        f"{item.plan.gateway} ({item.assignment.instance.gateway_type})"
        for item in prepared.prepared
        if item.plan.complete and not workspace.imports_archives(item.plan.gateway)
    ]
    if others:
        raise UsageError(
            f"--via archive: {' and '.join(others)} "
            f"{'imports' if len(others) == 1 else 'import'} no archives; nothing was applied. "
            "Leave the flag out, or name with --gateway those that do"
        )


async def apply_plans(
    workspace: Workspace,
    prepared: PreparedSet,
    principal: Principal,
    *,
    force: bool = False,
    as_archive: bool = False,
) -> ReportSet:
    """Apply plans, wave by wave and the gateways of a wave side by side.

    What a guard holds is left out unless `force`; who asked stands in the audit trail. With
    `as_archive` each plan is one archive: `check_archives` has said that the gateways import it.
    Raises StoreError, and LeaseHeld where another process writes to a gateway.

        reports = await apply_plans(workspace, prepared, local_principal())
        assert all(report.is_converged for report in reports.reports)
    """
    context = replace(workspace.context, principal=principal)
    digest = prepared.plans.digest
    reports: list[Report] = []
    # Wave by wave (`spec.wave`), so that a mistake shows on the first gateways only.
    for wave in sorted({item.assignment.instance.wave for item in prepared.prepared}):
        items = [item for item in prepared.prepared if item.assignment.instance.wave == wave]
        reports += await asyncio.gather(
            *(
                _apply_one(workspace, context, item, digest, force=force, as_archive=as_archive)
                for item in items
            )
        )
    return ReportSet(prepared.plans.revision, digest, tuple(reports))


async def _apply_one(
    workspace: Workspace,
    context: SessionContext,
    prepared: Prepared,
    digest: str,
    *,
    force: bool,
    as_archive: bool,
) -> Report:
    from stoa_gitops.reconcile.cycle import apply_plan

    if not prepared.plan.complete:  # there may be no driver of it
        return Report(prepared.plan, error=prepared.plan.error)
    session = workspace.apply_session(prepared.plan.gateway, context)
    return await apply_plan(session, prepared, digest=digest, force=force, as_archive=as_archive)
