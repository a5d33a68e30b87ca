"""What a process has for gateways that register themselves, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stoa_gitops.daemon.fleet_follower import FleetFollower
from stoa_gitops.daemon.fleet_service import FleetService
from stoa_gitops.daemon.gateway_assignment import GatewayAssignment
from stoa_gitops.daemon.heartbeat_conditions import HeartbeatConditions
from stoa_gitops.daemon.published_tables import PublishedTables
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.daemon.registered_views import RegisteredViews
from stoa_gitops.daemon.reload_calls import ReloadCalls
from stoa_gitops.fleet.members import Fleet
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.operations.store_choice import now
from stoa_gitops.reconcile.queue import DirtyQueue
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.reconcile.worker_pool import WorkerPool
from stoa_gitops.store import Store


@dataclass(frozen=True, slots=True)
class FleetParts:
    """The parts, each with those that it needs."""

    service: FleetService
    follower: FleetFollower
    assignment: GatewayAssignment
    published: PublishedTables
    views: RegisteredViews
    heartbeats: HeartbeatConditions
    reloads: ReloadCalls

    @classmethod
    def build(
        cls,
        store: Store,
        statuses: StatusRegistry,
        workers: WorkerPool,
        queue: DirtyQueue,
        close: Callable[[str], Awaitable[None]],
        save_conditions: Callable[[], Awaitable[None]],
        call: Callable[[GatewayInstance], Awaitable[None]],
        *,
        environment: str | None,
        interval: float | None,
    ) -> FleetParts:
        """Return the parts.

        `close` closes the connections of a gateway that left; `save_conditions` raises nothing;
        `call` has a gateway fetch its routes.
        """
        members = Fleet()
        registered = RegisteredGateways(lambda: (one.registration for one in members))
        published = PublishedTables(store, registered, statuses, now, is_online=members.is_online)
        assignment = GatewayAssignment(
            registered, statuses, workers, queue, close, environment, interval
        )
        heartbeats = HeartbeatConditions(
            registered, statuses, lambda: members.members, save_conditions
        )
        follower = FleetFollower(assignment, registered, published, statuses, heartbeats)
        service = FleetService(
            store,
            published,
            now,
            follower,
            list_kept=follower.kept,
            list_rules=registered.error_rules,
            fleet=members,
        )
        views = RegisteredViews(
            registered,
            lambda: members.members,
            lambda: service.shared,
            lambda gateway_id: members.count_registrations(gateway_id, service.steady()),
        )
        reloads = ReloadCalls(registered, statuses, call, now)
        published.tell, published.settle = reloads.request, workers.settle
        return cls(service, follower, assignment, published, views, heartbeats, reloads)
