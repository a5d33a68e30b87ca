"""Tells real gateways that fetch their routes when there is something to fetch.

STOA gateway 0.9.25 looks for the first time a whole interval after its start (contract stoa.md
§16.3.3): until then a gateway that restarted has no routes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.errors import GatewayUnreachable, StoaGitopsError, message_of, reason_of
from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.reconcile.conditions import TOLD
from stoa_gitops.reconcile.status import StatusRegistry

log = logging.getLogger(__name__)

CALLS_AT_ONCE: Final = 20
"""Each of them has the gateway ask for its routes."""

PAUSES: Final = (0.5, 0.5, 1.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before a further call of a gateway that cannot be reached: 0.9.25 registers first and
listens afterwards, a debug build of it two seconds later."""


@dataclass
class ReloadCalls:
    """Calls one gateway at a time once; what comes meanwhile makes one more call.

    call   calls the admin API of a gateway; raises StoaGitopsError
    clock  gives aware times
    """

    gateways: RegisteredGateways
    statuses: StatusRegistry
    call: Callable[[GatewayInstance], Awaitable[None]]
    clock: Callable[[], datetime]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _wanted: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)
    _calling: set[str] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self, gateway_id: str) -> None:
        """Have a gateway told, if its document has a token for that and it takes routes."""
        binding = self.gateways.find(gateway_id)
        if binding is None or binding.registration.has_table:
            return
        if binding.document.is_pulling and binding.document.registration.reload_token is not None:
            self._tries.pop(gateway_id, None)
            self._wanted.add(gateway_id)
            self._changed.set()

    async def follow(self) -> None:
        """Call those that are requested, until cancelled."""
        async with asyncio.TaskGroup() as calls:
            while True:
                await self._changed.wait()
                self._changed.clear()
                room = CALLS_AT_ONCE - len(self._calling)
                for gateway_id in sorted(self._wanted - self._calling)[:room]:
                    self._wanted.discard(gateway_id)
                    self._calling.add(gateway_id)
                    calls.create_task(self._tell(gateway_id, calls))

    async def _tell(self, gateway_id: str, calls: asyncio.TaskGroup) -> None:
        try:
            await self._call(gateway_id)
        except GatewayUnreachable:
            # Not waited for here: those that can be reached must not wait for a place.
            calls.create_task(self._repeat(gateway_id))
        finally:
            self._calling.discard(gateway_id)
            self._changed.set()

    async def _repeat(self, gateway_id: str) -> None:
        tries = self._tries[gateway_id] = self._tries.get(gateway_id, 0) + 1
        await self.pause(PAUSES[tries - 1])
        if self._tries.get(gateway_id) == tries:  # else somebody requested it since
            self._wanted.add(gateway_id)
            self._changed.set()

    async def _call(self, gateway_id: str) -> None:
        """Call a gateway; raises GatewayUnreachable where it is worth a further try."""
        binding = self.gateways.find(gateway_id)
        instance = self.statuses.find(binding.name) if binding else None
        if instance is None:
            return
        status, message = ConditionStatus.TRUE, ""
        reason: str = ConditionReason.TOLD
        try:
            await self.call(instance)
        except StoaGitopsError as error:
            is_last = self._tries.get(gateway_id, 0) >= len(PAUSES)
            if isinstance(error, GatewayUnreachable) and not is_last:
                raise
            # No further try: a gateway that fetches looks by itself at its interval.
            status, reason, message = ConditionStatus.FALSE, reason_of(error), message_of(error)
            known = self.statuses.conditions(instance.name)
            if not any(one.type == TOLD and one.message == message for one in known):
                log.warning("%s was not told to fetch its routes: %s", instance.name, message)
        self._tries.pop(gateway_id, None)
        self._set(instance, status, reason, message)

    def _set(
        self, instance: GatewayInstance, status: ConditionStatus, reason: str, message: str
    ) -> None:
        condition = Condition(TOLD, status, reason, message, 0, self.clock())
        self.statuses.set_condition(instance.name, condition)
