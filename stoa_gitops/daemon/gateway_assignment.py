"""Gives each gateway of the catalog a worker: those with an address, and each registered one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.reconcile.queue import REGISTERED, DirtyQueue
from stoa_gitops.reconcile.selection import Selection
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.reconcile.worker_pool import WorkerPool

PAUSE: Final = 0.2
"""Seconds between two bindings: a thousand gateways that register at once are bound in a few."""

MOST_PAUSES: Final = 10
"""Pauses in a row that a binding waits while others register: cycles of those that are bound would
take the processor and the store from those that wait for their answer."""


@dataclass
class GatewayAssignment:
    """Follows the catalog and the fleet; belongs to the loop's thread.

    close  closes the connections of a gateway that left
    """

    registered: RegisteredGateways
    statuses: StatusRegistry
    workers: WorkerPool
    queue: DirtyQueue
    close: Callable[[str], Awaitable[None]]
    environment: str | None = None
    interval: float | None = None
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _catalog: Catalog | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _noted: int = 0
    _waiting: set[str] = field(default_factory=set)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def take_catalog(self, catalog: Catalog) -> tuple[GatewayInstance, ...]:
        """Take over a catalog as it was read; return the gateways that this process reconciles."""
        self._catalog = catalog
        expanded = self.registered.expand(catalog)
        chosen = Selection(environment=self.environment).of(expanded)
        self.statuses.publish_catalog(expanded, chosen)
        self._assign(expanded, chosen)
        return chosen

    def note_change(self) -> None:
        """Note that gateways registered for the first time, changed, or were forgotten."""
        self._noted += 1
        self._changed.set()

    def note_start(self, gateway_id: str) -> None:
        """Note that a gateway has registered: one that restarted may have lost what it had."""
        # It alone, and not all that wait: a thousand may come within a second.
        if not self._request_cycle(gateway_id):
            self._waiting.add(gateway_id)
        self.note_change()

    async def follow(self) -> None:
        """Bind gateways anew after changes of the fleet, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._bind()
            await self._wait_for_calm()

    async def _wait_for_calm(self) -> None:
        for _ in range(MOST_PAUSES):
            noted = self._noted
            await self.pause(PAUSE)
            if self._noted == noted:
                return

    async def finish(self) -> None:
        """Wait for connections that are being closed."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _bind(self) -> None:
        catalog, before = self._catalog, self.registered.bindings
        if catalog is None:
            return
        expanded = self.registered.expand(catalog)
        if self.registered.bindings != before:
            chosen = Selection(environment=self.environment).of(expanded)
            self.statuses.publish_gateways(expanded, chosen)
            self._assign(expanded, chosen)
        self._request_waiting()
        self._waiting.clear()

    def _request_waiting(self) -> None:
        """Request a cycle of each gateway that started and has its worker."""
        for gateway_id in tuple(self._waiting):
            if self._request_cycle(gateway_id):
                self._waiting.discard(gateway_id)

    def _request_cycle(self, gateway_id: str) -> bool:
        """Request a cycle of a gateway that has its worker; False where it has none yet."""
        binding = self.registered.find(gateway_id)
        if binding is None or self.statuses.find(binding.name) is None:
            return False
        self.queue.request(binding.name, REGISTERED)
        return True

    def _assign(self, catalog: Catalog, chosen: tuple[GatewayInstance, ...]) -> None:
        for name in self.workers.assign(catalog, chosen, self.interval):
            self.statuses.remove_gateway(name)
            closing = asyncio.ensure_future(self.close(name))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
