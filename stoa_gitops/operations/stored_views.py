"""Views of gateways as the store knows them."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.operations.stored_gateways import StoredGateway, is_suspended_by_person
from stoa_gitops.operations.views import (
    ConditionView,
    CycleView,
    GatewayDetailView,
    GatewayView,
    QuarantinedView,
)
from stoa_gitops.store import Scope, Store


def stored_view(stored: StoredGateway, document: GatewayInstance | None = None) -> GatewayView:
    """Return a gateway as the store knows it; what only a running process knows is null.

    `document` is the gateway as the catalog has it, None for one that is orphaned.
    """
    is_suspended = document is not None and document.suspended
    return GatewayView(
        name=stored.name,
        type=document.gateway_type if document else None,
        environment=document.environment if document else None,
        status="OFFLINE",  # nobody has asked it: no process runs
        bound=document is not None,
        suspended=is_suspended or is_suspended_by_person(stored.conditions),
        revision=stored.last.revision if stored.last else None,
        cycles=0,
        recap=None,
        conditions=[ConditionView.of(condition) for condition in stored.conditions],
    )


async def stored_detail(
    store: Store, stored: StoredGateway, view: GatewayView
) -> GatewayDetailView:
    """Return a view with what only the store knows: our objects, the quarantine, the last cycle."""
    return GatewayDetailView.extend(
        view,
        objects=stored.objects,
        quarantined=await quarantine_views(store, stored.scopes),
        last_cycle=CycleView.of(stored.last),
    )


async def quarantine_views(store: Store, scopes: Iterable[Scope]) -> list[QuarantinedView]:
    """Return what is quarantined on a gateway, sorted by key."""
    entries = [entry for scope in scopes for entry in (await store.load_quarantine(scope)).values()]
    return [QuarantinedView.of(entry) for entry in sorted(entries, key=lambda entry: entry.key)]
