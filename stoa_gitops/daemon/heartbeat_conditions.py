"""Conditions that heartbeats give to registered gateways: `Online`, and `Healthy` of their errors.

A gateway that was never OFFLINE has no `Online`, and one without errors no `Healthy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.daemon.registered_views import is_silent
from stoa_gitops.fleet.binding import Binding
from stoa_gitops.fleet.health import GatewayStatus
from stoa_gitops.fleet.members import Member
from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.reconcile.status import StatusRegistry

ONLINE: Final = "Online"
HEALTHY: Final = "Healthy"

_LOOK: Final = 5.0
"""Seconds between two looks at all gateways: one may have been bound or restored since."""


@dataclass
class HeartbeatConditions:
    """Sets them in `statuses`, for `status`, `events` and metrics.

    members  returns the registered gateways by id
    save     stores conditions that changed; raises nothing
    """

    gateways: RegisteredGateways
    statuses: StatusRegistry
    members: Callable[[], Mapping[str, Member]]
    save: Callable[[], Awaitable[None]]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def follow(self) -> None:
        """Look at all gateways, and store what changed, until cancelled."""
        while True:
            await self.pause(_LOOK)
            self.look()
            await self.save()

    def look(self) -> None:
        """Set the conditions of all bound gateways."""
        for gateway_id in self.gateways.bindings.bound:
            self.take(gateway_id)

    def take(self, gateway_id: str) -> None:
        """Set the conditions of one gateway, if a document takes it."""
        binding, member = self.gateways.find(gateway_id), self.members().get(gateway_id)
        if binding is None or member is None or self.statuses.find(binding.name) is None:
            return
        before = {one.type: one.status for one in self.statuses.conditions(binding.name)}
        for condition in _conditions(binding, member):
            known = before.get(condition.type)
            is_news = condition.status is ConditionStatus.FALSE or known is ConditionStatus.FALSE
            if is_news and known is not condition.status:
                self.statuses.set_condition(binding.name, condition)


def _conditions(binding: Binding, member: Member) -> Iterator[Condition]:
    def condition(kind: str, *, value: bool, reason: ConditionReason, message: str) -> Condition:
        status = ConditionStatus.TRUE if value else ConditionStatus.FALSE
        return Condition(kind, status, reason, message, 0, member.since)

    if is_silent(member, binding.document):
        message = _silence_of(member.last_beat_at)
        yield condition(ONLINE, value=False, reason=ConditionReason.SILENT, message=message)
        return
    yield condition(ONLINE, value=True, reason=ConditionReason.HEARD, message="")
    rate = member.errors.rate
    if member.status is GatewayStatus.DEGRADED:
        share = "many" if rate is None else f"{rate:.1%}"
        message = f"{share} of its latest requests failed"
        yield condition(HEALTHY, value=False, reason=ConditionReason.ERRORS, message=message)
    else:
        yield condition(HEALTHY, value=True, reason=ConditionReason.RECOVERED, message="")


def _silence_of(heard: datetime | None) -> str:
    if heard is None:
        return "no heartbeat ever came"
    return f"no heartbeat since {heard.isoformat(timespec='seconds')}"
