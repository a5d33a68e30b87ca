"""All registered gateways of a process, and what time does to them.

fleet = Fleet()
fleet.register(registration, now, at)
fleet.beat(registration.id, Figures(uptime=30), now, at)
for transition in fleet.tick(now, at): ...
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from stoa_gitops.errors import GatewayUnknown
from stoa_gitops.fleet.health import (
    USUAL,
    ErrorRules,
    ErrorTracker,
    Figures,
    GatewayStatus,
    StartTracker,
)
from stoa_gitops.fleet.identity import spellings
from stoa_gitops.fleet.registration import MemberRecord, Registration, changed_fields

SILENCE: Final = 90.0
"""Seconds without a heartbeat after which a gateway is OFFLINE (STOA's documentation)."""

BEAT: Final = 30.0
"""Seconds between two heartbeats, and the grace after a pause of this process."""

PAUSE: Final = 5.0
"""Seconds between two ticks from which on this process was not running, and heard nobody."""

SAVE: Final = 60.0
"""Seconds between two writes of what heartbeats tell: a thousand gateways are one transaction."""

LATELY: Final = 600.0
"""Seconds within which registrations of one gateway are counted: one that has come up stays up."""

_MOST_COUNTED: Final = 20

FORGET: Final = timedelta(days=7)
"""How long a gateway may be OFFLINE until it is forgotten, where no document says otherwise."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A status that changed; `before` is None for a gateway that is new."""

    id: str
    name: str
    before: GatewayStatus | None
    after: GatewayStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration did."""

    is_new: bool
    changed: tuple[str, ...]
    transition: Transition | None


@dataclass(slots=True)
class Member:
    """One registered gateway; read it, and change it through `Fleet` only.

    figures  of the last heartbeat; None before the first one since this process started
    """

    registration: Registration
    status: GatewayStatus
    since: datetime
    registered_at: datetime
    last_registered_at: datetime
    last_beat_at: datetime | None = None
    figures: Figures | None = None
    errors: ErrorTracker = field(default_factory=ErrorTracker)
    rules: ErrorRules = USUAL
    heard: float = 0.0
    """Monotonic time of the last sign of life."""
    offline_from: float = 0.0
    """Monotonic time since which it is OFFLINE, while it is: the time of day may step."""
    starts: StartTracker = field(default_factory=StartTracker)
    is_saved: bool = False
    registrations: list[float] = field(default_factory=list)
    """Monotonic times of the latest ones since this process started."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.registration.name

    def record(self) -> MemberRecord:
        """Return what is stored of it."""
        return MemberRecord(
            self.registration,
            self.status.value,
            self.since,
            self.registered_at,
            self.last_registered_at,
            self.last_beat_at,
            self.errors.requests,
            self.errors.errors,
            self.errors.is_degraded,
        )


class Fleet:
    """Registered gateways by id. Methods with an id raise GatewayUnknown where there is none.

    `tick` has to be called each second or so: it is what makes a gateway OFFLINE.
    """

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._by_name: dict[str, Member] = {}
        # Those that are not OFFLINE, the one that was heard longest ago first: a tick looks at the
        # first ones only, and a heartbeat moves its own to the end.
        self._heard: dict[str, Member] = {}
        # Whose record has to be written now, and those of whom heartbeats were heard since.
        self._moved: set[str] = set()
        self._beaten: set[str] = set()
        self._saved_at: float | None = None
        self._ticked_at: float | None = None
        self._grace_until: float | None = None
        # Until then who is OFFLINE may have come back unheard, and is not forgotten.
        self._forgets_from: float | None = None

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    @property
    def members(self) -> Mapping[str, Member]:
        """All of them, by id."""
        return MappingProxyType(self._members)

    def get(self, gateway_id: str) -> Member:
        """Return one gateway."""
        member = self._members.get(gateway_id)
        if member is None:
            raise GatewayUnknown("no gateway is registered with this id: register again")
        return member

    def is_online(self, gateway_id: str) -> bool:
        """Whether a gateway runs, as far as its heartbeats tell; False for an unknown one."""
        member = self._members.get(gateway_id)
        return member is not None and member.status is not GatewayStatus.OFFLINE

    def find(self, name: str) -> Member | None:
        """Return the gateway of a name, in any spelling of its mode and environment."""
        found = (self._by_name.get(spelling) for spelling in spellings(name))
        return next((member for member in found if member is not None), None)

    def restore(self, records: Iterable[MemberRecord], now: float, at: datetime) -> None:
        """Take over stored gateways: those that were not OFFLINE have SILENCE from now on.

        How long the others are OFFLINE is known by the time of day alone. They may have come back
        while nobody listened, so nobody is forgotten for SILENCE.
        """
        self._forgets_from = now + SILENCE
        for record in records:
            member = Member(
                record.registration,
                GatewayStatus(record.status),
                record.since,
                record.registered_at,
                record.last_registered_at,
                record.last_beat_at,
                errors=ErrorTracker(record.requests, record.errors, record.is_degraded),
                heard=now,
                offline_from=now - max((at - record.since).total_seconds(), 0.0),
                is_saved=True,
            )
            self._add(member)
            if member.status is not GatewayStatus.OFFLINE:
                self._heard[record.registration.id] = member

    def register(self, registration: Registration, now: float, at: datetime) -> Registered:
        """Take a registration, the first one or one of many: the same gateway stays the same."""
        member = self._members.get(registration.id)
        if member is None:
            member = Member(registration, GatewayStatus.ONLINE, at, at, at, heard=now)
            member.registrations.append(now)
            self._add(member)
            self._heard[registration.id] = member
            self._moved.add(registration.id)
            new = Transition(
                registration.id, registration.name, None, GatewayStatus.ONLINE, "registered"
            )
            return Registered(is_new=True, changed=(), transition=new)
        changed = changed_fields(member.registration, registration)
        member.registration = registration
        member.last_registered_at = at
        member.registrations = [*member.registrations[1 - _MOST_COUNTED :], now]
        self._moved.add(registration.id)
        return Registered(
            is_new=False, changed=changed, transition=self._hear(member, now, at, "registered")
        )

    def beat(
        self, gateway_id: str, figures: Figures | None, now: float, at: datetime
    ) -> Transition | None:
        """Take a heartbeat; `figures` None is a sign of life whose figures make no sense."""
        member = self.get(gateway_id)
        if member.last_beat_at is None:
            # That it sends heartbeats has to outlive this process: its status is from them.
            self._moved.add(gateway_id)
        member.last_beat_at = at
        if figures is not None:
            member.figures = figures
            member.errors.take(figures, member.rules)
            member.starts.take(figures.uptime, now)
        self._beaten.add(gateway_id)
        return self._hear(member, now, at, "heartbeat")

    def leave(self, gateway_id: str, now: float, at: datetime) -> Transition | None:
        """Note that a gateway said it stops; it stays registered."""
        member = self.get(gateway_id)
        self._heard.pop(gateway_id, None)
        if member.status is not GatewayStatus.OFFLINE:
            member.offline_from = now
        return self._move(member, GatewayStatus.OFFLINE, at, "it said that it stops")

    def forget(self, gateway_id: str) -> Member:
        """Drop a gateway; it is back when it registers again."""
        member = self.get(gateway_id)
        for mapping in (self._members, self._heard):
            mapping.pop(gateway_id, None)
        self._by_name.pop(member.name, None)
        self._moved.discard(gateway_id)
        self._beaten.discard(gateway_id)
        return member

    def tick(self, now: float, at: datetime) -> tuple[Transition, ...]:
        """Return who is OFFLINE since the last call: silent for longer than SILENCE.

        After a pause of this process, in which it heard nobody, everybody has BEAT more seconds.
        """
        if self._ticked_at is not None and now - self._ticked_at > PAUSE:
            self._grace_until = self._forgets_from = now + BEAT
        self._ticked_at = now
        if self._grace_until is not None:
            if now < self._grace_until:
                return ()
            self._grace_until = None
        silent = []
        for member in self._heard.values():
            if now - member.heard <= SILENCE:
                break
            silent.append(member)
        moved = []
        for member in silent:
            del self._heard[member.registration.id]
            member.offline_from = now
            reason = f"no heartbeat for {SILENCE:g} s"
            moved.append(self._move(member, GatewayStatus.OFFLINE, at, reason))
        return tuple(filter(None, moved))

    def use_rules(self, gateway_id: str, rules: ErrorRules) -> None:
        """Apply these rules to the errors of a gateway from its next heartbeat on."""
        self.get(gateway_id).rules = rules

    def count_registrations(self, gateway_id: str, now: float) -> int:
        """Return how often a gateway registered within LATELY: one that flaps does so each time."""
        return sum(now - one <= LATELY for one in self.get(gateway_id).registrations)

    def is_shared(self, gateway_id: str, now: float) -> bool:
        """Whether several processes send heartbeats under this id."""
        return self.get(gateway_id).starts.is_shared(now, SILENCE * 2)

    def forgettable(
        self, now: float, named: Collection[str] = (), after: Mapping[str, timedelta] = {}
    ) -> tuple[Member, ...]:
        """Return who was OFFLINE for too long: FORGET, or `after` by id; but those in `named`.

        Nobody after a start or a pause of this process, until those who live were heard.
        """
        if self._forgets_from is not None and now < self._forgets_from:
            return ()
        return tuple(
            member
            for gateway_id, member in self._members.items()
            if member.status is GatewayStatus.OFFLINE
            and gateway_id not in named
            and now - member.offline_from > after.get(gateway_id, FORGET).total_seconds()
        )

    def take_unsaved(self, now: float) -> tuple[MemberRecord, ...]:
        """Return the records to write: of who moved at once, of heartbeats once in SAVE seconds."""
        ids = self._moved
        if self._saved_at is None or now - self._saved_at >= SAVE:
            ids, self._beaten, self._saved_at = ids | self._beaten, set(), now
        self._moved = set()
        return tuple(self._members[one].record() for one in sorted(ids))

    def keep_unsaved(self, records: Iterable[MemberRecord]) -> None:
        """Have records that could not be written returned again, as they are by then."""
        self._moved.update(
            record.registration.id for record in records if record.registration.id in self._members
        )

    def _add(self, member: Member) -> None:
        self._members[member.registration.id] = member
        self._by_name[member.name] = member

    def _hear(self, member: Member, now: float, at: datetime, reason: str) -> Transition | None:
        gateway_id = member.registration.id
        member.heard = now
        self._heard.pop(gateway_id, None)
        self._heard[gateway_id] = member
        if member.errors.is_degraded:
            rate = member.errors.rate
            percent = f"{rate:.1%}" if rate is not None else "many"
            return self._move(
                member, GatewayStatus.DEGRADED, at, f"{percent} of its latest requests failed"
            )
        return self._move(member, GatewayStatus.ONLINE, at, reason)

    def _move(
        self, member: Member, status: GatewayStatus, at: datetime, reason: str
    ) -> Transition | None:
        before = member.status
        if before is status:
            return None
        member.status, member.since = status, at
        self._moved.add(member.registration.id)
        return Transition(member.registration.id, member.name, before, status, reason)
