"""One gateway as one catalog sees it: prepare a plan, carry it out, remember what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from stoa_gitops.adapters.driver import Driver
from stoa_gitops.errors import LeaseHeld, SecretUnresolved
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Report, Status
from stoa_gitops.model.plan import Hold, Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, DesiredState
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.planning import (
    Situation,
    Upkeep,
    Withheld,
    incomplete,
    next_look,
    plan_adoption,
    plan_gateway,
    secret_references,
    upkeep,
)
from stoa_gitops.reconcile.bookkeeping import records_of
from stoa_gitops.reconcile.lease import leased
from stoa_gitops.reconcile.resolving import Resolving
from stoa_gitops.secrets import SecretResolver
from stoa_gitops.store import AsyncStore, CycleEntry, Quarantined, Scope, Store

BASE_URL_CHANGED = "BaseUrlChanged"
OVERTAKEN = "another process applied to this gateway meanwhile; nothing was applied, plan again"
FLUSH_EVERY = 200
"""Outcomes after which progress is written down, so that a killed process loses little."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one revision asks of one gateway, and what of the catalog is broken."""

    instance: GatewayInstance
    desired: DesiredState
    withheld: Withheld = field(default_factory=Withheld)
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and what it was made from. `reason` and `retry_after` belong to an incomplete plan."""

    assignment: Assignment
    plan: Plan
    started_at: datetime
    records: Mapping[Key, AppliedRecord] = field(default_factory=dict)
    upkeep: Upkeep = field(default_factory=Upkeep)
    reason: str = ""
    retry_after: float = 0.0
    next_look: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What every session works with: the store, the secrets, the clock, and who is acting."""

    store: AsyncStore
    secrets: SecretResolver
    clock: Callable[[], datetime]
    actor: str


class GatewaySession:
    """Owned by one task at a time: a worker of the process, or a command."""

    def __init__(self, driver: Driver, bench: Bench) -> None:
        self.driver = driver
        self._bench = bench

    async def look(self) -> ActualState:
        """Read the gateway without any inventory: everything without our mark is foreign."""
        health = await self.driver.health()
        if not health.success:
            name, error = self.driver.name, health.error or "no answer"
            return ActualState(name, self._bench.clock(), error=error, error_reason=health.reason)
        return await self.driver.observe({})

    async def prepare(self, assignment: Assignment, adopting: Collection[Key] = ()) -> Prepared:
        """Look at the gateway and plan; a gateway that cannot be read gives an incomplete plan.

        With `adopting` the plan takes over these foreign objects and does nothing else; UsageError says which of
        them cannot be adopted. Raises StoreError when what was applied last cannot be read: planning
        without it would guess.
        """
        started = self._bench.clock()
        scope = scope_of(assignment)
        records = await self._bench.store.call(Store.load, scope)
        health = await self.driver.health()
        if not health.success:
            return self._unread(assignment, started, health.error or "", health.reason)
        actual = await self.driver.observe(records)
        situation = Situation(
            now=started,
            secrets=await self._fingerprints(assignment, records),
            withheld=assignment.withheld,
            tenant=assignment.tenant,
        )
        states = (self.driver.target(), assignment.desired, actual, records, situation)
        if adopting:
            plan = await asyncio.to_thread(plan_adoption, *states, adopting)
        else:
            plan = await asyncio.to_thread(plan_gateway, *states)
        known = await self._bench.store.call(Store.known_base_url, scope.owner, scope.gateway)
        if known is not None and known != scope.base_url and plan.complete:
            plan = _moved(plan, known, scope.base_url)
        return Prepared(
            assignment,
            plan,
            started,
            records,
            Upkeep() if adopting else await asyncio.to_thread(upkeep, *states),
            actual.error_reason or "",
            next_look=next_look(assignment.desired, started),
        )

    async def carry_out(self, prepared: Prepared, *, digest: str, force: bool = False) -> Report:
        """Apply a prepared plan but for what guards hold, and record what happened.

        Never raises for what a gateway does. Raises StoreError when the outcome cannot be recorded.
        """
        plan = prepared.plan
        if not plan.complete:
            return Report(plan, error=plan.error)
        try:
            async with leased(
                self._bench.store, plan.gateway, self._bench.actor, self._bench.clock
            ):
                if await self._is_overtaken(prepared):
                    return Report(plan, error=OVERTAKEN)
                outcomes = await self._execute(prepared, digest, force=force)
        except LeaseHeld as error:
            return Report(plan, error=str(error))
        warnings = dict.fromkeys(w for outcome in outcomes for w in outcome.warnings)
        return Report(plan, tuple(outcomes), warnings=tuple(warnings))

    async def _is_overtaken(self, prepared: Prepared) -> bool:
        """Whether somebody else wrote to the gateway between our look and our turn."""
        cycles = await self._bench.store.call(Store.cycles, prepared.plan.gateway, limit=1)
        return bool(cycles) and cycles[0].finished_at >= prepared.started_at

    async def _execute(self, prepared: Prepared, digest: str, *, force: bool) -> list[Outcome]:
        plan = prepared.plan
        held = frozenset() if force else plan.held_keys
        resolve = Resolving(prepared.assignment.desired.owner, self._bench.secrets)
        outcomes: list[Outcome] = []
        written = 0
        base = CycleEntry(self._bench.actor, plan.revision, digest, prepared.started_at)
        entry = replace(base, records=prepared.upkeep.records, removed=prepared.upkeep.forget)
        try:
            stream = self.driver.execute(plan, resolve, held=held)
            async with contextlib.aclosing(stream):
                async for outcome in stream:
                    outcomes.append(replace(outcome, message=resolve.scrub(outcome.message)))
                    if len(outcomes) - written >= FLUSH_EVERY:
                        await self._record(prepared, entry, outcomes[written:])
                        entry, written = base, len(outcomes)
        finally:
            if outcomes[written:] or entry.records or entry.removed:
                await asyncio.shield(self._record(prepared, entry, outcomes[written:]))
        return outcomes

    async def _record(self, prepared: Prepared, entry: CycleEntry, outcomes: list[Outcome]) -> None:
        records, removed = records_of(outcomes, prepared.plan.revision, prepared.records)
        refused = tuple(
            Quarantined(
                outcome.change.key,
                outcome.change.resource.spec.digest,
                self.driver.title,
                outcome.message,
                prepared.started_at,
            )
            for outcome in outcomes
            if outcome.status is Status.QUARANTINED and outcome.change.resource
        )
        await self._bench.store.call(
            Store.record,
            scope_of(prepared.assignment),
            replace(
                entry,
                outcomes=tuple(outcomes),
                records=(*entry.records, *records),
                removed=(*entry.removed, *removed),
                quarantined=refused,
            ),
        )

    async def _fingerprints(
        self, assignment: Assignment, records: dict[Key, AppliedRecord]
    ) -> dict[str, str | None]:
        """Return the HMAC of every secret that the plan needs; None where one does not resolve."""
        needed = secret_references(assignment.desired, records, assignment.withheld)
        return {reference: await self._fingerprint(reference) for reference in sorted(needed)}

    async def _fingerprint(self, reference: str) -> str | None:
        try:
            secret = self._bench.secrets.resolve(SecretRef.parse(reference))
        except SecretUnresolved:
            return None
        return await self._bench.store.call(Store.fingerprint, secret)

    def _unread(
        self,
        assignment: Assignment,
        started: datetime,
        error: str,
        reason: str,
    ) -> Prepared:
        plan = incomplete(self.driver.target(), assignment.desired.revision, error)
        return Prepared(assignment, plan, started, reason=reason)


def scope_of(assignment: Assignment) -> Scope:
    """Return under which name the inventory of this gateway is kept."""
    instance = assignment.instance
    return Scope(assignment.desired.owner, instance.name, instance.base_url)


def _moved(plan: Plan, known: str, now: str) -> Plan:
    """Hold everything: another base URL may be another gateway."""
    message = (
        f"baseUrl was {known} when this gateway was last applied and is {now} now; "
        "if that is the gateway you mean, repeat with --force"
    )
    hold = Hold(BASE_URL_CHANGED, message, tuple(change.key for change in plan.changes))
    return replace(plan, holds=(*plan.holds, hold))
