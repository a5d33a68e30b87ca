"""What else in the process follows from registrations: bindings, cycles and published tables."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from stoa_gitops.daemon.fleet_service import Kept, Observer
from stoa_gitops.daemon.gateway_assignment import GatewayAssignment
from stoa_gitops.daemon.heartbeat_conditions import HeartbeatConditions
from stoa_gitops.daemon.published_tables import PublishedTables
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.errors import StoreError
from stoa_gitops.fleet.members import Registered, Transition
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.reconcile.status import StatusRegistry

log = logging.getLogger(__name__)


@dataclass
class FleetFollower(Observer):
    """Binds gateways anew when they come, change or go, and has each that starts written to."""

    assignment: GatewayAssignment
    registered_gateways: RegisteredGateways
    published: PublishedTables
    statuses: StatusRegistry
    heartbeats: HeartbeatConditions
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def registered(self, registration: Registration, done: Registered) -> None:
        """Bind a gateway that is new or changed, and request its cycle: it may have lost all."""
        if done.is_new or done.changed:
            # Bound anew in a moment; until then nothing is for it that was for whom it was before.
            self.registered_gateways.note_change(registration.id)
            self.assignment.note_change()
        self.published.note_start(registration.id)
        self.assignment.note_start(registration.id)

    def moved(self, transition: Transition) -> None:
        """Set the conditions of a gateway whose status changed; no binding changes by that."""
        self.heartbeats.take(transition.id)

    def forgotten(self, registration: Registration) -> None:
        """Unbind a gateway, and drop what was published for it."""
        self.assignment.note_change()
        binding = self.registered_gateways.find(registration.id)
        self._start(self._drop(registration, binding.name if binding else None))

    def kept(self) -> Kept | None:
        """Return whom no silence forgets; None while documents may be missing from the catalog."""
        catalog = self.statuses.catalog
        if catalog is None or catalog.blocking_errors:
            return None
        return self.registered_gateways.named_ids(), self.registered_gateways.forget_after()

    async def finish(self) -> None:
        """Wait for what is being dropped."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drop(self, registration: Registration, gateway: str | None) -> None:
        try:
            await self.published.forget(registration.id, gateway)
        except StoreError as error:
            log.warning("what was published for %s is still stored: %s", registration.name, error)
