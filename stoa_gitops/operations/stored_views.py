"""Views of gateways as the store knows them."""

from __future__ import annotations

from collections.abc import Iterable

from stoa_gitops.fleet.registration import MemberRecord
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.operations.stored_gateways import StoredGateway, is_suspended_by_person
from stoa_gitops.operations.views import (
    ConditionView,
    CycleView,
    GatewayDetailView,
    GatewayView,
    QuarantinedView,
    RegistrationView,
)
from stoa_gitops.store import Scope, Store


def stored_view(
    stored: StoredGateway,
    document: GatewayInstance | None = None,
    record: MemberRecord | None = None,
) -> GatewayView:
    """Return a gateway as the store knows it; what only a running process knows is null.

    `document` is the gateway as the catalog has it, None for one that is orphaned; `record` is the
    gateway as it registered, None for one that did not.
    """
    is_suspended = document is not None and document.suspended
    registration = record.registration if record else None
    kind = registration.gateway_type if registration else None
    environment = registration.environment if registration else None
    return GatewayView(
        name=stored.name,
        type=document.gateway_type if document else kind,
        environment=document.environment if document else environment,
        status="OFFLINE",  # nobody has asked it: no process runs
        bound=document is not None,
        suspended=is_suspended or is_suspended_by_person(stored.conditions),
        revision=stored.last.revision if stored.last else None,
        cycles=0,
        recap=None,
        conditions=[ConditionView.of(condition) for condition in stored.conditions],
        registration=_registration(record) if record else None,
    )


def _registration(record: MemberRecord) -> RegistrationView:
    """Return what a gateway said of itself when it was heard last."""
    registration, beat = record.registration, record.last_beat_at
    return RegistrationView(
        id=registration.id,
        name=registration.name,
        hostname=registration.hostname,
        mode=registration.mode.value,
        version=registration.version,
        tenant=registration.tenant_id or None,
        registered_at=record.registered_at.isoformat(),
        started_at=record.last_registered_at.isoformat(),
        since=record.since.isoformat(),
        last_beat_at=beat.isoformat() if beat else None,
        uptime=None,
        routes=None,
        policies=None,
        requests=None,
        error_rate=None,
        shared=False,
        admin_url=registration.admin_url,
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
