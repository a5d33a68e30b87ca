"""The steps of a reconcile cycle on one gateway; `cycle` puts them in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.guarded_losses import guarded
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.errors import LeaseHeld
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.principal import Principal
from stoa_gitops.model.resources import ActualState, DesiredState, Resource
from stoa_gitops.model.secret_rights import SecretRights
from stoa_gitops.planning import (
    BrokenScope,
    InventoryUpdates,
    PlanContext,
    PlanInputs,
    incomplete_plan,
    plan_adoption,
    replan,
)
from stoa_gitops.reconcile import guards, quarantine
from stoa_gitops.reconcile.gateway_writer import GatewayWriter
from stoa_gitops.reconcile.lease import leased
from stoa_gitops.reconcile.plan_basis import DraftState, PlanBasis, RecentSecrets
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.recorder import Recorder
from stoa_gitops.reconcile.shared_plans import SharedPlans
from stoa_gitops.reconcile.spec_resolver import SpecResolver
from stoa_gitops.reconcile.suspension import suspension_message
from stoa_gitops.reconcile.unsuitable_secrets import UnsuitableSecrets, find_unsuitable
from stoa_gitops.secrets import SecretResolver
from stoa_gitops.store import CycleEntry, Quarantined, Scope, Store, StoredState

OVERTAKEN = "another process applied to this gateway meanwhile; nothing was applied, plan again"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one revision asks of one gateway, and what of the catalog is broken."""

    instance: GatewayInstance
    desired: DesiredState
    broken: BrokenScope = field(default_factory=BrokenScope)
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over one gateway: what it is for, and when it began."""

    assignment: Assignment
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired state and what the store knows: last applied records and quarantine."""

    run: Run
    stored: StoredState


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and what it was made from. `reason` and `retry_after` belong to an incomplete plan.

    stored, context    None for a gateway that could not be read
    inventory_updates  what the store has to learn though nothing is written to the gateway
    next_check         when the plan may change by itself: a subscription expires, or something in
                       quarantine is due again
    unverified         live objects whose routes did not answer when they were called last
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
    unverified: tuple[Resource, ...] = ()

    @property
    def has_work(self) -> bool:
        """Whether applying does anything: an unheld change, a record to write, a route to call."""
        held = self.plan.held_keys
        return bool(self.inventory_updates or self.unverified) or any(
            change.key not in held for change in self.plan.changes
        )


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What every session works with: the store, the secrets, the clock, and who is acting."""

    store: Store
    secrets: SecretResolver
    clock: Callable[[], datetime]
    principal: Principal
    recent: RecentSecrets = field(default_factory=RecentSecrets)
    unsuitable: UnsuitableSecrets = field(default_factory=UnsuitableSecrets)
    plans: SharedPlans = field(default_factory=SharedPlans)


class GatewaySession:
    """One gateway as one catalog sees it, used by one task at a time: a worker or a command.

    A `cache` that outlives the session makes the next plan cheaper where nothing has changed.
    """

    def __init__(
        self, driver: Driver, context: SessionContext, cache: PlanCache | None = None
    ) -> None:
        self.driver = driver
        self._context = context
        self.cache = cache or PlanCache()

    @property
    def plans(self) -> SharedPlans:
        """Plans that gateways in one state share."""
        return self._context.plans

    async def observe_all(self, *, for_documents: bool = False) -> ActualState:
        """Read the gateway without an inventory; `for_documents`: all that documents can say."""
        health = await self.driver.health()
        if not health.success:
            name, error = self.driver.name, health.error or "no answer"
            return ActualState(name, self._context.clock(), error=error, error_reason=health.reason)
        return await self.driver.observe({}, for_documents=for_documents)

    async def find_suspension(self, assignment: Assignment) -> str:
        """Return who or what suspends the gateway now, as a message; empty where nothing does."""
        if assignment.instance.suspended:
            return f"suspended by {assignment.instance.source}"
        return suspension_message((await self.read_stored(assignment)).conditions)

    async def read_basis(self, assignment: Assignment, draft: DraftState) -> PlanBasis:
        """Read what decides about a plan beside the `draft`, which is ours; raises StoreError."""
        now, stored = self._context.clock(), await self.read_stored(assignment)
        needed = self.plans.find_references(assignment, stored.records)
        if needed is None:
            needed = await self._find_references(assignment, stored)
        rights = assignment.desired.rights
        secrets = await self._context.recent.find(
            needed, rights, lambda: self._hash(needed, rights)
        )
        return PlanBasis(assignment, draft, stored, needed, secrets, now)

    # -- the first half: what would change --------------------------------------------------------

    def begin(self, assignment: Assignment) -> Run:
        """Begin a pass: its plan is made for this moment, however long reading takes."""
        return Run(assignment, self._context.clock())

    async def check_health(self) -> AdapterResult:
        """Step 1, health: ask whether the gateway answers, and which version it is."""
        return await self.driver.health()

    async def load_desired(self, run: Run) -> Desired:
        """Step 2, desired: add to the desired state what the store knows; raises StoreError."""
        return Desired(run, await self.read_stored(run.assignment))

    async def observe(self, desired: Desired) -> ActualState:
        """Step 3, observe: read all objects; with an `error` where that failed. Never raises."""
        return await self.driver.observe(
            desired.stored.records, desired.run.assignment.desired.resources
        )

    async def plan(
        self, desired: Desired, actual: ActualState, adopting: Collection[Key] = ()
    ) -> Prepared:
        """Step 4, plan: compare desired, last applied and actual; `actual` is complete.

        Raises StoreError, and UsageError for `adopting` of what cannot be adopted.
        """
        assignment, started = desired.run.assignment, desired.run.started_at
        stored, gateway = desired.stored, self.driver.plan_input()
        secrets = await self._hash_secrets(assignment, stored)
        refused = quarantine.active_quarantine(
            stored.quarantined, assignment.desired, secrets, self.driver.title, started
        )
        unsuitable = await self._find_unsuitable(assignment, secrets)
        context = self._plan_context(desired, actual, secrets, refused.messages, unsuitable)
        expires_at = self.cache.next_expiry(assignment.desired, started)
        prepared = Prepared(
            assignment,
            Plan("", "", ""),
            started,
            stored,
            context,
            next_check=min(filter(None, (refused.until, expires_at)), default=None),
        )
        inputs = PlanInputs(
            gateway, assignment.desired, actual, stored.records, context, expires_at
        )
        # On a thread: a plan of 30,000 objects from scratch takes half a second of CPU.
        if adopting:
            plan = await asyncio.to_thread(
                plan_adoption,
                gateway,
                assignment.desired,
                actual,
                stored.records,
                context,
                adopting,
            )
            return replace(prepared, plan=plan)
        state = await asyncio.to_thread(replan, self.cache.state, inputs)
        self.cache.state = state
        obsolete = quarantine.obsolete(
            stored.quarantined, assignment.desired, stored.records, assignment.broken
        )
        plan, unverified = quarantine.with_unverified(
            state.plan, assignment.desired, stored.quarantined
        )
        return replace(
            prepared,
            plan=plan,
            inventory_updates=state.inventory_updates.also_removing(obsolete),
            unverified=unverified,
        )

    def _plan_context(
        self,
        desired: Desired,
        actual: ActualState,
        secrets: Mapping[str, str | None],
        refused: Mapping[Key, str],
        unsuitable: Mapping[Key, str],
    ) -> PlanContext:
        """Return what a plan knows beside the states of both sides."""
        assignment, stored = desired.run.assignment, desired.stored
        may_try = self.cache.may_try_conflicts(assignment.desired, actual)
        waiting = {} if may_try else quarantine.conflicting(stored.quarantined)
        return PlanContext(
            desired.run.started_at,
            secrets,
            assignment.broken,
            {**waiting, **refused},
            assignment.tenant,
            shared=self.cache.shared_credentials(
                assignment.desired, stored.records, secrets, assignment.broken
            ),
            unsuitable=unsuitable,
        )

    def guard(self, prepared: Prepared) -> Prepared:
        """Step 5, guard: hold what may be a mistake until a person forces it; see `guards`."""
        return guards.hold_doubtful(prepared)

    def unreadable(self, run: Run, error: str, reason: str | None, retry_after: float) -> Prepared:
        """Return the incomplete plan of a gateway that could not be read: it changes nothing."""
        plan = incomplete_plan(self.driver.plan_input(), run.assignment.desired.revision, error)
        return Prepared(
            run.assignment, plan, run.started_at, reason=reason or "", retry_after=retry_after
        )

    # -- the second half: changing it -------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def write(
        self, prepared: Prepared, digest: str, *, force: bool = False, as_archive: bool = False
    ) -> AsyncIterator[GatewayWriter]:
        """Hold the lease of the gateway, for the steps 6 to 8: apply, verify, record.

        The plan is complete. Whatever ends the block, what happened until then is recorded. Raises
        LeaseHeld while another process writes to the gateway or when one did since the plan was
        made, StoreError when outcomes cannot be recorded.
        """
        held = frozenset() if force else prepared.plan.held_keys
        desired = prepared.assignment.desired
        resolver = SpecResolver(desired.owner, self._context.secrets, desired.rights, desired.files)
        skipped = (desired.resources.get(skip.key) for skip in prepared.plan.skipped)
        waiting = [resource for resource in skipped if resource is not None]
        async with (
            self.recording(prepared, digest) as recorder,
            self.driver.execution(
                resolver, held=held, as_archive=as_archive, waiting=waiting
            ) as execution,
            contextlib.aclosing(execution.apply(prepared.plan.changes)) as batches,
        ):
            yield GatewayWriter(execution, batches, resolver, recorder)

    @contextlib.asynccontextmanager
    async def recording(self, prepared: Prepared, digest: str) -> AsyncIterator[Recorder]:
        """Hold the lease of the gateway, and record what was done under it; raises as `write`."""
        shared, stored = self._context, prepared.stored
        assert stored is not None  # a complete plan has a stored state
        async with leased(
            shared.store, prepared.plan.gateway, shared.principal.subject, shared.clock
        ):
            # Another process may have written to the gateway between planning and this lease.
            latest = await self.read_stored(prepared.assignment)
            if latest.last_cycle != stored.last_cycle:
                raise LeaseHeld(OVERTAKEN)
            recorder = self._recorder(prepared, latest, digest)
            try:
                yield recorder
            finally:
                # Shielded: a cancelled cycle has written to the gateway, and the store must know.
                await asyncio.shield(recorder.write_outcomes())

    def _recorder(self, prepared: Prepared, stored: StoredState, digest: str) -> Recorder:
        actor, revision = self._context.principal.subject, prepared.plan.revision
        desired, started = prepared.assignment.desired, prepared.started_at
        secrets = prepared.context.secrets if prepared.context else {}

        def find_refusals(outcomes: Sequence[Outcome]) -> Iterator[Quarantined]:
            return quarantine.refusals(outcomes, desired, secrets, self.driver.title, started)

        entry = CycleEntry(actor, revision, digest, started)
        return Recorder(
            self._context.store, stored, entry, prepared.inventory_updates, find_refusals
        )

    # -- shared -----------------------------------------------------------------------------------

    async def read_stored(self, assignment: Assignment) -> StoredState:
        """Read what the store knows of the gateway; raises StoreError."""
        scope, resources = scope_of(assignment), assignment.desired.resources
        stored = await self._context.store.read_state(scope, self.cache.stored, resources)
        self.cache.stored = stored
        return stored

    async def _find_unsuitable(
        self, assignment: Assignment, secrets: Mapping[str, str | None]
    ) -> Mapping[Key, str]:
        """Return the objects whose secrets cannot be sent as they are, with what is wrong."""
        if not secrets:
            return {}
        desired, rules = assignment.desired, self.driver.rules
        resolver = SpecResolver(desired.owner, self._context.secrets, desired.rights)
        find_losses = None if rules.losses is None else guarded(rules.losses)
        find = partial(find_unsuitable, desired, resolver, find_losses)
        # Gateways of one document plan the same objects at once.
        shared = partial(self._context.unsuitable.find, desired, secrets, rules.losses, find)
        return await asyncio.to_thread(
            self.cache.unsuitable_secrets, desired, secrets, rules.losses, shared
        )

    async def _hash_secrets(
        self, assignment: Assignment, stored: StoredState
    ) -> Mapping[str, str | None]:
        """Return the HMAC of every secret that the plan needs; None where one does not resolve."""
        needed = await self._find_references(assignment, stored)
        return await self._hash(needed, assignment.desired.rights)

    async def _find_references(
        self, assignment: Assignment, stored: StoredState
    ) -> frozenset[tuple[str, str]]:
        scope = assignment.desired, stored.records, assignment.broken
        known = self.cache.known_references(*scope)
        if known is not None:
            return known
        # On a thread: 40 ms for the documents and records of 10,000 APIs of which one was edited.
        return await asyncio.to_thread(self.cache.references, *scope)

    async def _hash(
        self, needed: frozenset[tuple[str, str]], rights: SecretRights
    ) -> Mapping[str, str | None]:
        if not needed:
            return {}
        # On a thread: each may be a file, which is read anew.
        resolved = await asyncio.to_thread(
            self._context.secrets.resolve_all, sorted(needed), rights
        )
        return await self._context.store.hash_secrets(resolved)


def scope_of(assignment: Assignment) -> Scope:
    """Return under which name the inventory of this gateway is kept."""
    instance = assignment.instance
    return Scope(assignment.desired.owner, instance.name, instance.inventory_url)
