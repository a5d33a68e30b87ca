"""Conditions of registered gateways that fetch what is published for them, or should."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NoReturn

from stoa_gitops.control.process_port import Conflict
from stoa_gitops.daemon.publication import PublishedGateway
from stoa_gitops.daemon.published_views import never_asks_message
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.reconcile.status import StatusRegistry

ACKNOWLEDGED: Final = "Acknowledged"
CONFIGURABLE: Final = "Configurable"
"""Types of conditions of registered gateways."""

ASKS_WITHIN: Final = 75.0
"""Seconds within which a gateway that fetches its routes asks for them: two intervals of the real
one (30 s; the first one is a whole interval after its start), and some for the way."""

_STATUS: Final = dict(zip((True, False, None), ConditionStatus, strict=True))
_LOOK: Final = 5.0


@dataclass(frozen=True, slots=True)
class FetchConditions:
    """Sets conditions at the time of `clock`."""

    statuses: StatusRegistry
    clock: Callable[[], datetime]

    def set(
        self,
        instance: GatewayInstance,
        kind: str,
        value: bool | None,
        reason: ConditionReason,
        message: str,
    ) -> None:
        """Set a condition of a gateway; None is unknown."""
        condition = Condition(kind, _STATUS[value], reason, message, 0, self.clock())
        self.statuses.set_condition(instance.name, condition)


@dataclass
class WhoFetches:
    """Whether each registered gateway asks for what it is to fetch: its condition `Configurable`.

    entries    gateways that fetch, by the id of their registration
    monotonic  seconds
    is_online  says of an id whether that gateway runs, as far as its heartbeats tell
    """

    gateways: RegisteredGateways
    statuses: StatusRegistry
    entries: Mapping[str, PublishedGateway]
    conditions: FetchConditions
    monotonic: Callable[[], float] = time.monotonic
    is_online: Callable[[str], bool] = lambda _: True
    _refused: dict[str, float] = field(default_factory=dict)
    _began_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._began_at = self.monotonic()

    async def watch(self) -> None:
        """Look every few seconds for gateways that nothing reaches, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            self.check()

    def check(self) -> None:
        """Set the condition of gateways that nothing reaches; to be called now and then."""
        now = self.monotonic()
        for gateway_id, entry in self.entries.items():
            binding = self.gateways.find(gateway_id)
            instance = self.statuses.find(binding.name) if binding else None
            if binding is None or instance is None or not instance.is_pulling:
                continue
            if not self.is_online(gateway_id):
                # One that does not run asks for nothing, whatever it is set to.
                entry.seen_at = now
            elif entry.asked_at is None and now - entry.seen_at > ASKS_WITHIN:
                self._set(instance, False, ConditionReason.NEVER_ASKS, never_asks_message(binding))
        for instance in self.statuses.gateways:
            # Also where the document got `auth` since, or an earlier process refused it.
            if instance.is_pulling or self._known(instance) is not ConditionStatus.FALSE:
                continue
            if now - self._refused.get(instance.registration_id, self._began_at) > ASKS_WITHIN:
                self._set(instance, True, ConditionReason.PUSHED, "")

    def note_asked(self, instance: GatewayInstance) -> None:
        """Note that a gateway asked for what it is to fetch."""
        if self._known(instance) is not ConditionStatus.TRUE:
            self._set(instance, True, ConditionReason.ASKS, "")

    def refuse(self, instance: GatewayInstance) -> NoReturn:
        """Refuse one that asks though it is written to; raises Conflict."""
        self._refused[instance.registration_id] = self.monotonic()
        message = (
            "it asks for its routes, which it gets by its admin API: unset "
            f"STOA_ROUTE_RELOAD_ENABLED there, or remove auth from {instance.source}"
        )
        self._set(instance, False, ConditionReason.ASKS_THOUGH_PUSHED, message)
        raise Conflict(f"{instance.name}: {message}")

    def forget(self, gateway_id: str) -> None:
        """Drop what is known of a gateway that was forgotten."""
        self._refused.pop(gateway_id, None)

    def _known(self, instance: GatewayInstance) -> ConditionStatus | None:
        known = self.statuses.conditions(instance.name)
        return next((one.status for one in known if one.type == CONFIGURABLE), None)

    def _set(
        self, instance: GatewayInstance, value: bool, reason: ConditionReason, message: str
    ) -> None:
        self.conditions.set(instance, CONFIGURABLE, value, reason, message)
