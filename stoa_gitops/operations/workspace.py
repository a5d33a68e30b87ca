"""Everything a command needs to plan and apply, built for once and taken down again."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stoa_gitops.adapter_sdk.contract import InProcessAdmin
from stoa_gitops.drivers.per_gateway import Drivers
from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Report, ReportSet
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.operations import connections as connecting
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile.cycle import CycleResult, cycle
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.selection import Selection
from stoa_gitops.reconcile.session import Assignment, GatewaySession, Prepared, SessionContext
from stoa_gitops.secrets import SecretResolver
from stoa_gitops.state_folder import runtime_file as runtime
from stoa_gitops.state_folder.runtime_file import Runtime
from stoa_gitops.store import AsyncStore, Store


def now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


def actor() -> str:
    """Return who is acting, for the audit trail: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class PreparedSet:
    """The plans of all selected gateways and what they were made from."""

    plans: PlanSet
    prepared: tuple[Prepared, ...]


class Workspace:
    """Sessions for the gateways of catalogs, over one store. Make it by `open`.

    `running` says where the embedded gateway listens: by the file of the process that runs here, unless this is it,
    which has the gateway `inside`.
    """

    def __init__(
        self, folder: Path, store: AsyncStore, *, clock: Callable[[], datetime] = now
    ) -> None:
        self.running: Callable[[], Runtime | None] = lambda: runtime.read(folder)
        self.inside: Callable[[], InProcessAdmin | None] = lambda: None
        self._secrets = SecretResolver(Path.cwd(), os.environ)
        self._drivers = Drivers(clock=clock)
        self._plan_caches: dict[str, PlanCache] = {}
        self.context = SessionContext(store, self._secrets, clock, actor())

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, folder: Path, *, clock: Callable[[], datetime] = now
    ) -> AsyncIterator[Workspace]:
        """Open the store of a state folder; raises StoreError. Closes everything at the end."""
        store = await AsyncStore.open(lambda: Store.open(folder, clock=clock))
        workspace = cls(folder, store, clock=clock)
        try:
            yield workspace
        finally:
            await workspace._drivers.aclose()
            await store.close()

    async def prepare(self, catalog: Catalog, selection: Selection) -> PreparedSet:
        """Plan every selected gateway side by side; one that cannot be reached hides no other."""
        prepared = await asyncio.gather(
            *(
                self.prepare_one(catalog, instance, selection.tenant)
                for instance in selection.of(catalog)
            )
        )
        plans = tuple(item.plan for item in prepared)
        return PreparedSet(PlanSet(catalog.revision, plans, len(catalog.tenants)), tuple(prepared))

    async def prepare_one(
        self,
        catalog: Catalog,
        instance: GatewayInstance,
        tenant: str | None = None,
        adopting: Collection[Key] = (),
    ) -> Prepared:
        """Plan one gateway, or the adoption of some of its objects."""
        assignment = Assignment(
            instance, catalog.desired[instance.name], BrokenScope.of(catalog), tenant
        )
        try:
            session = await self.session(catalog, instance)
        except StoaGitopsError as error:
            return self._undrivable(assignment, error)
        return await session.prepare(assignment, adopting)

    async def cycle(self, catalog: Catalog, assignment: Assignment) -> CycleResult:
        """Run one cycle of one gateway; one that cannot be driven is a result, too."""
        try:
            session = await self.session(catalog, assignment.instance)
        except StoaGitopsError as error:
            plan = self._undrivable(assignment, error).plan
            return CycleResult(Report(plan, error=plan.error), is_well=False, reason=error.reason)
        return await cycle(session, assignment)

    async def close_gateway(self, name: str) -> None:
        """Close what is open to a gateway that is no longer worked."""
        self._plan_caches.pop(name, None)
        await self._drivers.forget(name)

    async def session(self, catalog: Catalog, instance: GatewayInstance) -> GatewaySession:
        """Return the session of a gateway; raises GatewayError, or SecretUnresolved for its credentials."""
        connection = connecting.connection(
            instance, catalog.owner, self._secrets, self.running(), self.inside()
        )
        await self._drivers.register(connection)
        memory = self._plan_caches.setdefault(instance.name, PlanCache())
        return GatewaySession(self._drivers.for_gateway(instance.name), self.context, memory)

    async def apply(self, prepared: PreparedSet, *, force: bool = False) -> ReportSet:
        """Apply, wave by wave and the gateways of a wave side by side."""
        digest = prepared.plans.digest
        reports: list[Report] = []
        for wave in sorted({item.assignment.instance.wave for item in prepared.prepared}):
            items = [p for p in prepared.prepared if p.assignment.instance.wave == wave]
            reports += await asyncio.gather(
                *(self._apply_one(item, digest, force=force) for item in items)
            )
        return ReportSet(prepared.plans.revision, digest, tuple(reports))

    async def _apply_one(self, prepared: Prepared, digest: str, *, force: bool) -> Report:
        if not prepared.plan.complete:
            return Report(prepared.plan, error=prepared.plan.error)
        driver = self._drivers.for_gateway(prepared.plan.gateway)
        return await GatewaySession(driver, self.context).carry_out(
            prepared, digest=digest, force=force
        )

    def _undrivable(self, assignment: Assignment, error: StoaGitopsError) -> Prepared:
        plan = failed_plan(assignment, str(error))
        return Prepared(assignment, plan, self.context.clock(), reason=error.reason)


def failed_plan(assignment: Assignment, message: str) -> Plan:
    """Return the plan of a gateway that could not be worked: an incomplete one that says why."""
    instance = assignment.instance
    return Plan(
        gateway=instance.name,
        gateway_type=instance.gateway_type,
        revision=assignment.desired.revision,
        complete=False,
        error=message,
        title=instance.gateway_type,
    )
