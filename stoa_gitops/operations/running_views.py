"""Views of gateways and of the catalog as this process knows them."""

from __future__ import annotations

from stoa_gitops.fleet.health import GatewayStatus, status_of_checks
from stoa_gitops.model.conditions import ConditionStatus
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.operations.views import (
    CatalogView,
    ConditionView,
    GatewayView,
    RegistrationView,
)
from stoa_gitops.reconcile.conditions import REACHABLE, TOLD
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.report.recap import recap_counts


def running_view(
    registry: StatusRegistry,
    instance: GatewayInstance,
    *,
    is_suspended: bool,
    status: GatewayStatus | None = None,
    registration: RegistrationView | None = None,
) -> GatewayView:
    """Return a gateway as this process knows it from its last cycle.

    `status` is what its heartbeats tell; of one that sends none the last health check tells.
    `registration` is what one that registered itself says.
    """
    report = registry.report(instance.name)
    is_told = instance.registration.reload_token is not None
    conditions = [
        # Of a document that had a token once, it says nothing any more.
        one
        for one in registry.conditions(instance.name)
        if is_told or one.type != TOLD
    ]
    is_online = any(
        condition.type == REACHABLE and condition.status is ConditionStatus.TRUE
        for condition in conditions
    )
    return GatewayView(
        name=instance.name,
        type=instance.gateway_type,
        environment=instance.environment,
        status=(status or status_of_checks(is_reachable=is_online)).value,
        bound=True,
        suspended=is_suspended,
        revision=report.plan.revision if report else None,
        cycles=registry.cycles(instance.name),
        recap=dict(recap_counts(report)) if report else None,
        conditions=list(map(ConditionView.of, conditions)),
        registration=registration,
    )


def catalog_view(registry: StatusRegistry, unreadable: str | None) -> CatalogView:
    """Return the catalog in force; `unreadable` says why the last reading failed, if it did."""
    catalog = registry.catalog
    return CatalogView(
        owner=catalog.owner if catalog else None,
        revision=catalog.revision if catalog else None,
        errors=len(catalog.errors) if catalog else 0,
        warnings=len(catalog.warnings) if catalog else 0,
        unreadable=unreadable,
    )
