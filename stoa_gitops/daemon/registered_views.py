"""Views of what registered: gateways without a document, and documents without a gateway."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.fleet.binding import Unbound
from stoa_gitops.fleet.health import GatewayStatus
from stoa_gitops.fleet.members import Member
from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.operations.registration_view import registration_view
from stoa_gitops.operations.views import ConditionView, GatewayView, RegistrationView

BOUND = "Bound"
"""Type of the condition that says whether gateways and documents found each other."""


@dataclass(frozen=True, slots=True)
class RegisteredViews:
    """What views of gateways need to know of the fleet.

    members  returns it by id; shared: the ids under which several processes send heartbeats
    count    returns how often a gateway registered lately, by its id
    """

    gateways: RegisteredGateways
    members: Callable[[], Mapping[str, Member]]
    shared: Callable[[], Collection[str]] = tuple
    count: Callable[[str], int] = lambda _: 0

    def member(self, instance: GatewayInstance) -> Member | None:
        """Return the registered gateway behind an instance; None for one with an address."""
        return self.members().get(instance.registration_id)

    def registration(self, instance: GatewayInstance) -> RegistrationView | None:
        """Return what a gateway says of itself; None for one that did not register."""
        member = self.member(instance)
        return self._registration(member) if member is not None else None

    def silent_documents(self) -> list[str]:
        """Return the documents of which gateways registered and none is online, sorted."""
        members = self.members()
        heard: dict[str, bool] = {}
        for binding in self.gateways.bindings.bound.values():
            member = members.get(binding.registration.id)
            if member is not None:
                name, is_gone = binding.document.name, is_silent(member, binding.document)
                heard[name] = heard.get(name, False) or not is_gone
        return sorted(name for name, is_heard in heard.items() if not is_heard)

    def silent_gateways(self) -> frozenset[str]:
        """Return the bound gateways whose heartbeats have stopped: pods come and go."""
        members = self.members()
        return frozenset(
            binding.name
            for gateway_id, binding in self.gateways.bindings.bound.items()
            if gateway_id in members and is_silent(members[gateway_id], binding.document)
        )

    def find(self, name: str) -> Member | None:
        """Return the gateway of a name: its own, or `<document>/<its own>` where it is bound."""
        binding = self.gateways.bindings.by_gateway.get(name)
        found = binding.registration if binding else None
        for unbound in self.gateways.bindings.unbound.values():
            if unbound.registration.name == name:
                found = unbound.registration
        return self.members().get(found.id) if found else None

    def others(self, now: datetime) -> Iterator[GatewayView]:
        """Yield a view of each gateway that is not bound, and of each document without one."""
        members = self.members()
        for gateway_id, unbound in self.gateways.bindings.unbound.items():
            if gateway_id in members:
                member = members[gateway_id]
                yield _unbound_view(member, unbound, self._registration(member))
        for document in self.gateways.idle_documents():
            yield _idle_view(document, now)

    def _registration(self, member: Member) -> RegistrationView:
        gateway_id = member.registration.id
        return registration_view(
            member,
            is_shared=gateway_id in self.shared(),
            registrations=self.count(gateway_id),
        )


def is_known_by_checks(member: Member, instance: GatewayInstance) -> bool:
    """Whether a gateway never sent a heartbeat, and can be asked how it is."""
    return member.last_beat_at is None and not instance.is_pulling


def is_silent(member: Member, instance: GatewayInstance) -> bool:
    """Whether the heartbeats of a gateway have stopped."""
    is_offline = member.status is GatewayStatus.OFFLINE
    return is_offline and not is_known_by_checks(member, instance)


def _unbound_view(member: Member, unbound: Unbound, view: RegistrationView) -> GatewayView:
    reason = ConditionReason.RIVALS if unbound.rivals else ConditionReason.NO_DOCUMENT
    condition = Condition(
        BOUND, ConditionStatus.FALSE, reason, unbound.reason, 0, member.last_registered_at
    )
    registration = member.registration
    return GatewayView(
        name=member.name,
        type=registration.gateway_type,
        environment=registration.environment,
        status=member.status.value,
        bound=False,
        suspended=False,
        revision=None,
        cycles=0,
        recap=None,
        conditions=[ConditionView.of(condition)],
        registration=view,
    )


def _idle_view(document: GatewayInstance, now: datetime) -> GatewayView:
    message = "no gateway of this document has registered"
    condition = Condition(BOUND, ConditionStatus.FALSE, ConditionReason.NO_GATEWAY, message, 0, now)
    return GatewayView(
        name=document.name,
        type=document.gateway_type,
        environment=document.environment,
        status=GatewayStatus.OFFLINE.value,
        bound=True,
        suspended=document.suspended,
        revision=None,
        cycles=0,
        recap=None,
        conditions=[ConditionView.of(condition)],
    )
