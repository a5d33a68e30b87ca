"""The gateways that registered with this process: taken, watched, stored and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from stoa_gitops.control.fleet_port import Publications
from stoa_gitops.control.process_port import Conflict, NotReady
from stoa_gitops.daemon.fleet_metrics import fleet_metrics
from stoa_gitops.daemon.refusals import Refusals
from stoa_gitops.daemon.registration_entries import entry_of_forgetting, entry_of_registration
from stoa_gitops.errors import GatewayUnknown, StoreError
from stoa_gitops.fleet.health import ErrorRules, Figures
from stoa_gitops.fleet.members import Fleet, Member, Registered, Transition
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.counts import counted
from stoa_gitops.model.principal import Principal
from stoa_gitops.reconcile.metrics import Metric
from stoa_gitops.store import AuditEntry, Store

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
"""Between two looks at who was heard: a gateway is OFFLINE within this after its time."""

REVIEW_SECONDS: Final = 30.0
"""Between two looks at who shares a name, and who may be forgotten."""

MAX_GATEWAYS: Final = 10_000
"""Registered gateways: a live key in the wrong hands must not fill the memory."""

MAX_ENTRIES: Final = 5_000
"""Entries of the audit trail that wait for a store that cannot be written; the oldest are lost."""

_AT_ALL: Final = timedelta(0)

Kept = tuple[Collection[str], Mapping[str, timedelta]]
"""Ids that are never forgotten, and how long others may be OFFLINE, by id where it is not usual."""


class Observer:
    """Is told what happens to registered gateways; the methods do nothing."""

    def registered(self, registration: Registration, done: Registered) -> None:
        """Note a registration, of a gateway that is new or started again."""

    def moved(self, transition: Transition) -> None:
        """Note a status that changed."""

    def forgotten(self, registration: Registration) -> None:
        """Note a gateway that is no more."""


@dataclass
class FleetService:
    """Implements `control.fleet_port.FleetOperations`. Belongs to the loop's thread.

    Registrations are stored before they are answered; heartbeats live in memory and are stored once
    a minute. All writes that wait at one moment are one transaction, so that a thousand gateways
    that register within a second wait for a few of them.

    publications  what gateways get
    clock         gives aware times; `steady` never steps, in seconds
    list_kept     returns who is not forgotten; None while that is not known
    list_rules    returns when errors degrade a gateway, by id where it is not usual
    """

    store: Store
    publications: Publications
    clock: Callable[[], datetime]
    observer: Observer = field(default_factory=Observer)
    steady: Callable[[], float] = monotonic
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    list_kept: Callable[[], Kept | None] = lambda: None
    list_rules: Callable[[], Mapping[str, ErrorRules]] = dict
    fleet: Fleet = field(default_factory=Fleet)
    shared: set[str] = field(default_factory=set)
    """Ids under which several processes send heartbeats."""
    _refusals: Refusals = field(default_factory=Refusals)
    _entries: list[AuditEntry] = field(default_factory=list)
    _removed: set[str] = field(default_factory=set)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _saver: asyncio.Task[None] | None = None
    _storing: asyncio.Task[None] | None = None
    _store_error: str | None = None
    _reviewed_at: float = 0.0
    _beats: int = 0
    _registrations: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _transitions: Counter[tuple[str, ...]] = field(default_factory=Counter)

    async def restore(self) -> None:
        """Take over what an earlier process stored; raises StoreError."""
        records = await self.store.load_registrations()
        self.fleet.restore(records, self.steady(), self.clock())
        if len(self.fleet):
            log.info("known from before: %s", counted(len(self.fleet), "registered gateway"))

    # what the routes need

    async def register(self, registration: Registration) -> Member:
        """Take a registration; StoreError, NotReady and Conflict for one that is not taken."""
        known = self.fleet.members.get(registration.id)
        if known is not None and known.registration.environment != registration.environment:
            # The host `a` with the mode `proxy` in `shadow-prod`, and `a-proxy` with `shadow` in
            # `prod`: a key of the one environment must not take over the gateway of the other.
            raise Conflict(
                f"{registration.name} is the name of a gateway in the environment"
                f" {known.registration.environment}, too: give this one another STOA_INSTANCE_NAME"
            )
        if known is None and len(self.fleet) >= MAX_GATEWAYS and not self._make_room():
            raise NotReady(
                f"{MAX_GATEWAYS} gateways are registered and none of them can be forgotten: see"
                " `gateways list`"
            )
        at, before = self.clock(), known.last_registered_at if known else None
        done = self.fleet.register(registration, self.steady(), at)
        member = self.fleet.get(registration.id)
        entry = entry_of_registration(registration, done, at, before)
        if entry is not None:
            self._entries.append(entry)
        try:
            await self._save()
        except StoreError:
            self._registrations["failed",] += 1
            if done.is_new:  # nothing of it is stored: it comes again
                self._undo(registration.id, entry)
            elif registration.id in self.fleet.members:
                # It is as it says, and stored later: who follows must not take it for as it was.
                self._follow(registration, done)
            raise
        self._registrations["new" if done.is_new else "again",] += 1
        self._follow(registration, done)
        return member

    def refuse(self, peer: str, fingerprint: str, why: str) -> None:
        """Note a registration that is refused."""
        self._registrations["refused",] += 1
        entry = self._refusals.add(peer, fingerprint, why, now=self.steady(), at=self.clock())
        if entry is not None:
            self._entries.append(entry)

    def beat(self, gateway_id: str, figures: Figures | None) -> None:
        """Take a heartbeat, in memory only; raises GatewayUnknown."""
        transition = self.fleet.beat(gateway_id, figures, self.steady(), self.clock())
        self._beats += 1
        if transition is not None:
            self._announce(transition)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("heartbeat of %s", self.fleet.get(gateway_id).name)

    def leave(self, gateway_id: str, principal: Principal) -> None:
        """Note that a gateway says it stops; raises GatewayUnknown."""
        self._announce(self.fleet.leave(gateway_id, self.steady(), self.clock()))
        log.info("%s: it stops, says %s", self.fleet.get(gateway_id).name, principal.subject)

    def get(self, gateway_id: str) -> Member:
        """Return a gateway; raises GatewayUnknown."""
        return self.fleet.get(gateway_id)

    def find(self, name: str) -> Member | None:
        """Return the gateway of a name, in any spelling of it."""
        return self.fleet.find(name)

    # background task

    async def run(self) -> None:
        """Look each second at who was not heard, and store what moved, until cancelled."""
        while True:
            await self.pause(TICK_SECONDS)
            self.look()
            # Not waited for: a store that is locked answers after ten seconds, and looks so far
            # apart are taken for pauses of this process, in which nobody is OFFLINE.
            if self._storing is None or self._storing.done():
                if self._storing is not None:
                    self._storing.result()  # an error of ours ends this task, which is then seen
                self._storing = asyncio.create_task(self.store_moved())

    async def tick(self) -> None:
        """Look once, and store what moved."""
        self.look()
        await self.store_moved()

    def look(self) -> None:
        """Look once at who was not heard; what moved is not stored yet."""
        now, at = self.steady(), self.clock()
        for transition in self.fleet.tick(now, at):
            self._announce(transition)
        self._entries += self._refusals.take_sums(now=now, at=at)
        if now - self._reviewed_at >= REVIEW_SECONDS:
            self._reviewed_at = now
            self._review(now)

    async def stop(self) -> None:
        """Store what moved, for the last time."""
        await self.store_moved()

    async def store_moved(self) -> None:
        """Store what moved; a failure was said by the writer, and the next call tries again."""
        with contextlib.suppress(StoreError):
            await self._save()

    async def forget(self, gateway_id: str, principal: Principal) -> None:
        """Drop a gateway for a person; it is back when it registers again.

        Raises GatewayUnknown, and StoreError: then it is dropped with the next look.
        """
        self._forget(gateway_id, principal.subject, "a person asked for it")
        await self._save()

    # figures

    def troubles(self) -> list[str]:
        """Return what is wrong with the store of registrations, for the status of the process."""
        return [self._store_error] if self._store_error is not None else []

    def metrics(self) -> Iterator[Metric]:
        """Yield gateways by status and environment, and what was counted."""
        return fleet_metrics(self.fleet, self._beats, self._registrations, self._transitions)

    # parts

    def _make_room(self) -> bool:
        """Forget who is OFFLINE longest, of those that no document names; False without any."""
        kept = self.list_kept()
        if kept is None:
            return False
        gone = self.fleet.forgettable(
            self.steady(), kept[0], dict.fromkeys(self.fleet.members, _AT_ALL)
        )
        if not gone:
            return False
        oldest = min(gone, key=lambda member: member.offline_from)
        self._forget(oldest.registration.id, "stoa-gitops", "its place was needed")
        return True

    def _review(self, now: float) -> None:
        """Say who shares a name with another, and forget who was OFFLINE for too long."""
        shared = {one for one in self.fleet.members if self.fleet.is_shared(one, now)}
        for gateway_id in sorted(shared - self.shared):
            log.warning(
                "%s: several processes send heartbeats under this name: give each a host name or "
                "STOA_INSTANCE_NAME of its own",
                self.fleet.get(gateway_id).name,
            )
        self.shared = shared
        for gateway_id, rules in self.list_rules().items():
            if gateway_id in self.fleet.members:
                self.fleet.use_rules(gateway_id, rules)
        kept = self.list_kept()
        if kept is not None:
            for member in self.fleet.forgettable(now, *kept):
                self._forget(member.registration.id, "stoa-gitops", "OFFLINE for too long")

    def _forget(self, gateway_id: str, actor: str, why: str) -> None:
        member = self.fleet.forget(gateway_id)
        self._removed.add(gateway_id)
        self.shared.discard(gateway_id)
        entry = entry_of_forgetting(member.registration, actor, why, self.clock())
        self._entries.append(entry)
        log.info("%s: registration forgotten: %s", member.name, why)
        self.observer.forgotten(member.registration)

    def _undo(self, gateway_id: str, entry: AuditEntry | None) -> None:
        with contextlib.suppress(GatewayUnknown):
            self.fleet.forget(gateway_id)
        if entry is not None:
            with contextlib.suppress(ValueError):
                self._entries.remove(entry)

    def _announce(self, transition: Transition | None) -> None:
        if transition is None:
            return
        self._transitions[transition.after.value,] += 1
        if transition.before is not None:
            log.info(
                "%s: %s, it was %s: %s",
                transition.name,
                transition.after.value,
                transition.before.value,
                transition.reason,
            )
        self.observer.moved(transition)

    def _follow(self, registration: Registration, done: Registered) -> None:
        self._log_registration(registration, done)
        self._announce(done.transition)
        self.observer.registered(registration, done)

    def _log_registration(self, registration: Registration, done: Registered) -> None:
        what = "registered" if done.is_new else "registered again"
        log.info(
            "register: %s %s: host %r, version %s, from %s with key %s%s",
            registration.name,
            what,
            registration.hostname,
            registration.version,
            registration.peer,
            registration.key,
            f"; changed: {', '.join(done.changed)}" if done.changed else "",
        )

    async def _save(self) -> None:
        """Store everything that changed before this call; raises StoreError."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._saver is None:
            self._saver = asyncio.create_task(self._save_waiting())
        await waiter

    async def _save_waiting(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                await self._save_for(waiting)
        finally:
            self._saver = None

    async def _save_for(self, waiting: list[asyncio.Future[None]]) -> None:
        error: BaseException | None = None
        try:
            await self._write()
        except BaseException as raised:  # whatever it is: nobody waits for ever
            error = raised
            if not isinstance(raised, Exception):
                raise
        finally:
            for waiter in waiting:
                if not waiter.done():  # its request may be gone
                    if error is None:
                        waiter.set_result(None)
                    else:
                        waiter.set_exception(error)

    async def _write(self) -> None:
        records = self.fleet.take_unsaved(self.steady())
        removed, self._removed = self._removed, set()
        # Who was forgotten and is back already is not removed.
        removed -= self.fleet.members.keys()
        entries, self._entries = self._entries, []
        if not (records or removed or entries):
            return
        try:
            await self.store.save_registrations(records, removed, entries)
        except StoreError as error:
            self.fleet.keep_unsaved(records)
            self._removed |= removed
            self._entries = [*entries, *self._entries][-MAX_ENTRIES:]
            if self._store_error is None:
                log.warning("registrations are not stored: %s", error)
            self._store_error = f"registrations are not stored: {error}"
            raise
        self._store_error = None
