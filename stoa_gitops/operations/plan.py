"""`plan`: what would change on each gateway, and what one revision changes against another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stoa_gitops.adapters.registry import info_for, reasons
from stoa_gitops.errors import GatewayError, StoaGitopsError
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.planning import BrokenScope, GatewayPlanInput, compare_revisions

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.keys import Key
    from stoa_gitops.operations.workspace import Workspace
    from stoa_gitops.reconcile.selection import Selection
    from stoa_gitops.reconcile.session import Assignment, Prepared


@dataclass(frozen=True, slots=True)
class PreparedSet:
    """The plans of all selected gateways and what they were made from."""

    plans: PlanSet
    prepared: tuple[Prepared, ...]

    @classmethod
    def of(cls, catalog: Catalog, prepared: Collection[Prepared]) -> PreparedSet:
        """Put the plans of gateways of one catalog together."""
        plans = tuple(item.plan for item in prepared)
        return cls(PlanSet(catalog.revision, plans, len(catalog.tenants)), tuple(prepared))


async def plan_gateways(
    workspace: Workspace, catalog: Catalog, selection: Selection
) -> PreparedSet:
    """Observe and plan every selected gateway side by side; writes nothing.

    A gateway that cannot be reached has an incomplete plan and hides no other. Raises StoreError.

        prepared = await plan_gateways(workspace, catalog, Selection(environment="prod"))
        print(plan_text(prepared.plans, Style()))
    """
    # Side by side: a gateway that does not respond must not hold up the others.
    prepared = await asyncio.gather(
        *(
            prepare_gateway_plan(workspace, catalog, instance, selection.tenant)
            for instance in selection.of(catalog)
            # Of its gateways only the process knows, which plans each of them by itself.
            if not instance.is_unbound
        )
    )
    return PreparedSet.of(catalog, prepared)


async def prepare_gateway_plan(
    workspace: Workspace,
    catalog: Catalog,
    instance: GatewayInstance,
    tenant: str | None = None,
    adopting: Collection[Key] = (),
) -> Prepared:
    """Observe and plan one gateway, or with `adopting` the adoption of these foreign objects."""
    # Late: a plan of two revisions needs neither sessions nor an HTTP client.
    from stoa_gitops.reconcile.cycle import prepare_plan
    from stoa_gitops.reconcile.session import Assignment

    desired, broken = catalog.desired[instance.name], BrokenScope.of(catalog)
    assignment = Assignment(instance, desired, broken, tenant)
    try:
        session = await workspace.session(catalog, instance)
    except StoaGitopsError as error:
        return prepare_failure(assignment, error, workspace.context.clock())
    return await prepare_plan(session, assignment, adopting)


def prepare_failure(assignment: Assignment, error: StoaGitopsError, now: datetime) -> Prepared:
    """Return the incomplete plan of a gateway for which no session can be made."""
    from stoa_gitops.reconcile.session import Prepared

    return Prepared(assignment, failed_plan(assignment, str(error)), now, reason=error.reason)


def failed_plan(assignment: Assignment, message: str) -> Plan:
    """Return the plan of a gateway that could not be reconciled: incomplete, and says why."""
    instance = assignment.instance
    return Plan(
        gateway=instance.name,
        gateway_type=instance.gateway_type,
        revision=assignment.desired.revision,
        complete=False,
        error=message,
        title=instance.gateway_type,
    )


def plan_revisions(base: Catalog, head: Catalog, selection: Selection, now: datetime) -> PlanSet:
    """Plan the difference of two revisions of a catalog (`plan --base REV`); asks no gateway."""
    inputs_by_name = {gateway.name: _revision_target(gateway) for gateway in head.gateways}
    plans = compare_revisions(
        base, head, now=now, inputs_by_name=inputs_by_name, tenant=selection.tenant
    )
    # From both: a gateway that only one of the revisions has is compared with nothing.
    chosen = {gateway.name for catalog in (base, head) for gateway in selection.of(catalog)}
    return replace(plans, plans=tuple(plan for plan in plans.plans if plan.gateway in chosen))


def _revision_target(gateway: GatewayInstance) -> GatewayPlanInput:
    """Describe a gateway by what its adapter declares: no gateway is asked."""
    try:
        info = info_for(gateway.gateway_type)
    except GatewayError:
        # A type without an adapter declares nothing; `validate` reports it.
        return GatewayPlanInput.of(gateway)
    return GatewayPlanInput.of(
        gateway, title=gateway.gateway_type, capabilities=reasons(info.capabilities)
    )
