"""One gateway as one catalog sees it: prepare a plan, carry it out, remember what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from stoa_gitops.drivers.driver import Driver
from stoa_gitops.errors import LeaseHeld
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Report
from stoa_gitops.model.plan import Hold, Plan
from stoa_gitops.model.principal import Principal
from stoa_gitops.model.resources import ActualState, DesiredState
from stoa_gitops.planning import (
    BrokenScope,
    InventoryUpdates,
    PlanContext,
    PlanInputs,
    incomplete_plan,
    plan_adoption,
    replan,
)
from stoa_gitops.reconcile import quarantine
from stoa_gitops.reconcile.lease import leased
from stoa_gitops.reconcile.plan_cache import Inputs, PlanCache, Planned
from stoa_gitops.reconcile.recorder import Recorder
from stoa_gitops.reconcile.spec_resolver import SpecResolver
from stoa_gitops.reconcile.suspension import suspension_message
from stoa_gitops.secrets import SecretResolver
from stoa_gitops.store import CycleEntry, Scope, Store, StoredState

BASE_URL_CHANGED = "BaseUrlChanged"
_ANY_TIME = datetime.min.replace(tzinfo=UTC)
OVERTAKEN = "another process applied to this gateway meanwhile; nothing was applied, plan again"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one revision asks of one gateway, and what of the catalog is broken."""

    instance: GatewayInstance
    desired: DesiredState
    broken: BrokenScope = field(default_factory=BrokenScope)
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and what it was made from. `reason` and `retry_after` belong to an incomplete plan.

    next_look  when the plan may change by itself: a subscription runs out, something refused is due again
    """

    assignment: Assignment
    plan: Plan
    started_at: datetime
    stored: StoredState | None = None
    context: PlanContext | None = None
    inventory_updates: InventoryUpdates = field(default_factory=InventoryUpdates)
    reason: str = ""
    retry_after: float = 0.0
    next_check: datetime | None = None

    @property
    def has_work(self) -> bool:
        """Whether carrying it out would do anything: write a change that no guard holds, or a record."""
        held = self.plan.held_keys
        return bool(self.inventory_updates) or any(
            change.key not in held for change in self.plan.changes
        )


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What every session works with: the store, the secrets, the clock, and who is acting."""

    store: Store
    secrets: SecretResolver
    clock: Callable[[], datetime]
    principal: Principal


class GatewaySession:
    """Owned by one task at a time: a worker of the process, or a command.

    A `memory` that outlives the session makes the next one cheaper where nothing has moved.
    """

    def __init__(
        self, driver: Driver, context: SessionContext, memory: PlanCache | None = None
    ) -> None:
        self.driver = driver
        self._context = context
        self._memory = memory or PlanCache()

    async def observe_all(self) -> ActualState:
        """Read the gateway without any inventory: everything without our mark is foreign."""
        health = await self.driver.health()
        if not health.success:
            name, error = self.driver.name, health.error or "no answer"
            return ActualState(name, self._context.clock(), error=error, error_reason=health.reason)
        return await self.driver.observe({})

    async def prepare(self, assignment: Assignment, adopting: Collection[Key] = ()) -> Prepared:
        """Look at the gateway and plan; a gateway that cannot be read gives an incomplete plan.

        With `adopting` the plan takes over these foreign objects and does nothing else; UsageError says which of
        them cannot be adopted. Raises StoreError when what was applied last cannot be read: planning
        without it would guess.
        """
        started = self._context.clock()
        health = await self.driver.health()
        if not health.success:
            error, patience = health.error or "no answer", health.retry_after
            return self._unread(assignment, started, error, health.reason, patience)
        known = await self._recall(assignment)
        actual = await self.driver.observe(known.records)
        if actual.error is not None:
            reason, patience = actual.error_reason or "", actual.retry_after
            return self._unread(assignment, started, actual.error, reason, patience)
        secrets = await self._fingerprints(assignment, known)
        desired = assignment.desired
        aside = quarantine.active_quarantine(
            known.quarantined, desired, secrets, self.driver.title, started
        )
        context = PlanContext(started, secrets, assignment.broken, aside.words, assignment.tenant)
        ends = [aside.until, self._memory.expiry(desired, started)]
        until = min((end for end in ends if end is not None), default=None)
        prepared = Prepared(assignment, Plan("", "", ""), started, known, context, next_check=until)
        if adopting:
            states = (self.driver.plan_input(), desired, actual, known.records, context)
            plan = await asyncio.to_thread(plan_adoption, *states, adopting)
            return replace(prepared, plan=_guarded(plan, known))
        made = await self._planned(prepared, known, context, actual)
        return replace(prepared, plan=made.plan, inventory_updates=made.inventory_updates)

    async def suspended(self, assignment: Assignment) -> str:
        """Return in words who or what suspends the gateway at this moment; empty where nothing does."""
        if assignment.instance.suspended:
            return f"suspended by {assignment.instance.source}"
        return suspension_message((await self._recall(assignment)).conditions)

    async def apply(self, prepared: Prepared, *, digest: str, force: bool = False) -> Report:
        """Apply a prepared plan but for what guards hold, and record what happened.

        Never raises for what a gateway does. Raises StoreError when the outcome cannot be recorded.
        """
        plan, known, context = prepared.plan, prepared.stored, self._context
        if not plan.complete or known is None:
            return Report(plan, error=plan.error)
        try:
            async with leased(
                context.store, plan.gateway, context.principal.subject, context.clock
            ):
                # Somebody else may have written to the gateway between our look and our turn.
                latest = await self._recall(prepared.assignment)
                if latest.last_cycle != known.last_cycle:
                    return Report(plan, error=OVERTAKEN)
                outcomes = await self._execute(prepared, known, digest, force=force)
        except LeaseHeld as error:
            return Report(plan, error=str(error))
        warnings = dict.fromkeys(w for outcome in outcomes for w in outcome.warnings)
        return Report(plan, tuple(outcomes), warnings=tuple(warnings))

    async def _execute(
        self, prepared: Prepared, known: StoredState, digest: str, *, force: bool
    ) -> list[Outcome]:
        plan = prepared.plan
        held = frozenset() if force else plan.held_keys
        resolve = SpecResolver(prepared.assignment.desired.owner, self._context.secrets)
        actor = self._context.principal.subject
        entry = CycleEntry(actor, plan.revision, digest, prepared.started_at)
        recorder = Recorder(self._context.store, known, entry, prepared.inventory_updates)
        try:
            stream = self.driver.execute(plan, resolve, held=held)
            async with contextlib.aclosing(stream):
                async for outcome in stream:
                    message = resolve.redact(outcome.message)
                    recorder.outcomes.append(replace(outcome, message=message))
                    if recorder.is_due:
                        await self._record(prepared, recorder)
        finally:
            await asyncio.shield(self._record(prepared, recorder))
        return recorder.outcomes

    async def _record(self, prepared: Prepared, recorder: Recorder) -> None:
        secrets = prepared.context.secrets if prepared.context else {}
        desired, title, now = prepared.assignment.desired, self.driver.title, prepared.started_at
        refused = quarantine.refusals(recorder.unwritten, desired, secrets, title, now)
        await recorder.write(tuple(refused))

    async def _planned(
        self, prepared: Prepared, known: StoredState, context: PlanContext, actual: ActualState
    ) -> Planned:
        """Plan, unless nothing that a plan is made from has moved since the last one."""
        assignment, started = prepared.assignment, prepared.started_at
        desired, target = assignment.desired, self.driver.plan_input()
        rest = (
            assignment.instance, desired.owner, desired.revision, replace(context, now=_ANY_TIME),
            target, known.base_url, known.quarantined.keys(),
        )  # fmt: skip
        inputs = Inputs(desired.resources, actual.objects, known.records, rest)
        before = self._memory.planned
        if before is not None and before.holds(inputs, started):
            return before
        ends = self._memory.expiry(desired, started)
        states = PlanInputs(target, desired, actual, known.records, context, ends)
        drawn = await asyncio.to_thread(replan, before.drawn if before else None, states)
        gone = quarantine.obsolete(known.quarantined, desired, known.records, context.broken)
        kept = replace(drawn.inventory_updates, forget=(*drawn.inventory_updates.forget, *gone))
        made = Planned(
            inputs, drawn, _guarded(drawn.plan, known), kept, started, prepared.next_check
        )
        self._memory.planned = made
        return made

    async def _recall(self, assignment: Assignment) -> StoredState:
        scope, known = scope_of(assignment), self._memory.stored
        resources = assignment.desired.resources
        found = await self._context.store.read_state(scope, known, resources)
        self._memory.stored = found
        return found

    async def _fingerprints(
        self, assignment: Assignment, known: StoredState
    ) -> dict[str, str | None]:
        """Return the HMAC of every secret that the plan needs; None where one does not resolve."""
        needed = self._memory.references(assignment.desired, known.records, assignment.broken)
        if not needed:
            return {}
        resolved = await asyncio.to_thread(self._context.secrets.resolve_all, sorted(needed))
        return await self._context.store.hash_secrets(resolved)

    def _unread(
        self, assignment: Assignment, started: datetime, error: str, reason: str, patience: float
    ) -> Prepared:
        plan = incomplete_plan(self.driver.plan_input(), assignment.desired.revision, error)
        return Prepared(assignment, plan, started, reason=reason, retry_after=patience)


def scope_of(assignment: Assignment) -> Scope:
    """Return under which name the inventory of this gateway is kept."""
    instance = assignment.instance
    return Scope(assignment.desired.owner, instance.name, instance.base_url)


def _guarded(plan: Plan, known: StoredState) -> Plan:
    """Hold everything where the base URL is another one: that may be another gateway."""
    was, now = known.base_url, known.scope.base_url
    if was is None or was == now or not plan.complete:
        return plan
    message = (
        f"baseUrl was {was} when this gateway was last applied and is {now} now; "
        "if that is the gateway you mean, repeat with --force"
    )
    hold = Hold(BASE_URL_CHANGED, message, tuple(change.key for change in plan.changes))
    return replace(plan, holds=(*plan.holds, hold))
