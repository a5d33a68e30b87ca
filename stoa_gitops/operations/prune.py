"""`gateways prune`: removes our objects from a gateway whose document is gone from the catalog.

The document that says where the gateway is and how to reach it is no longer there, so a person
names the revision, or the folder, that still has it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stoa_gitops.errors import CatalogInvalid, UsageError
from stoa_gitops.model.instances import GatewayInstance, PruneBudget
from stoa_gitops.model.resources import DesiredState
from stoa_gitops.operations.apply import apply_plans
from stoa_gitops.operations.plan import PreparedSet, prepare_gateway_plan

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.outcomes import ReportSet
    from stoa_gitops.model.principal import Principal
    from stoa_gitops.operations.workspace import Workspace


def check_document_gone(current: Catalog, name: str) -> None:
    """Raise CatalogInvalid or UsageError unless the catalog surely has no document of a gateway."""
    if current.blocking_errors:
        raise CatalogInvalid(
            "the catalog is invalid, so it cannot be told whether the gateway's document is gone "
            "or only broken: fix it first"
        )
    if current.gateway(name) is not None:
        raise UsageError(
            f"{name} is still in the catalog: remove its document and commit that first"
        )


def former_gateway(current: Catalog, former: Catalog, name: str, origin: str) -> GatewayInstance:
    """Return a gateway as its document described it when there was one; UsageError otherwise.

    `origin` is how the person called `former`. The budget for deletions does not apply: deleting
    everything is what is asked for.
    """
    instance = former.gateway(name)
    if instance is None:
        existing = ", ".join(gateway.name for gateway in former.gateways) or "none"
        raise UsageError(f"{origin} has no gateway {name!r}; there is: {existing}")
    # Objects carry the mark of their owner: another catalog may still desire its own.
    if former.owner != current.owner:
        raise UsageError(
            f"{origin} is catalog {former.owner!r}, and this one is {current.owner!r}: objects "
            "of another catalog are not ours to remove"
        )
    # Suspension would stop the deletion that a person asks for here.
    return replace(instance, prune=PruneBudget(None, None), suspended=False)


def without_objects(current: Catalog, instance: GatewayInstance) -> Catalog:
    """Return the catalog with one gateway, from which it asks nothing."""
    empty = DesiredState(
        instance.name, current.owner, current.revision, rights=current.secret_rights
    )
    return replace(current, gateways=(instance,), desired={instance.name: empty})


async def plan_prune(
    workspace: Workspace, catalog: Catalog, instance: GatewayInstance
) -> PreparedSet:
    """Plan the deletion of everything that we own there; `catalog` is one of `without_objects`."""
    return PreparedSet.of(catalog, [await prepare_gateway_plan(workspace, catalog, instance)])


async def apply_prune(
    workspace: Workspace,
    catalog: Catalog,
    prepared: PreparedSet,
    principal: Principal,
    *,
    force: bool = False,
) -> ReportSet:
    """Delete, and forget the gateway if it is empty afterwards."""
    reports = await apply_plans(workspace, prepared, principal, force=force)
    # What was skipped (protected objects, say) is still ours: it must stay in the inventory.
    is_skipping = any(item.plan.skipped for item in prepared.prepared)
    if not is_skipping and all(report.is_converged for report in reports.reports):
        for item in prepared.prepared:
            name = item.assignment.instance.name
            await workspace.context.store.forget_gateway(catalog.owner, name)
    return reports
