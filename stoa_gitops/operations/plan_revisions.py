"""`plan --base REV`: two revisions of a catalog against each other; no gateway is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from stoa_gitops.adapters.registry import info_for, reasons
from stoa_gitops.errors import GatewayError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.planning import GatewayPlanInput, compare_revisions
from stoa_gitops.reconcile.selection import Selection


def compare(base: Catalog, head: Catalog, selection: Selection, now: datetime) -> PlanSet:
    """Return what the change of the catalog would change on the selected gateways."""
    targets = {gateway.name: _target(gateway) for gateway in head.gateways}
    plans = compare_revisions(base, head, now=now, targets=targets, tenant=selection.tenant)
    chosen = {gateway.name for catalog in (base, head) for gateway in selection.of(catalog)}
    return replace(plans, plans=tuple(plan for plan in plans.plans if plan.gateway in chosen))


def _target(gateway: GatewayInstance) -> GatewayPlanInput:
    """Describe a gateway by what its adapter declares: what it cannot express shows without asking it."""
    try:
        info = info_for(gateway.gateway_type)
    except GatewayError:
        return GatewayPlanInput.of(gateway)
    return GatewayPlanInput.of(
        gateway, title=gateway.gateway_type, capabilities=reasons(dict(info.capabilities))
    )
