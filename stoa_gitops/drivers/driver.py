"""One gateway: observe its state, execute plans on it; the only caller of its adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Generic, TypeVar

from stoa_gitops.adapter_sdk.capabilities import Capabilities, Granularity, Rules
from stoa_gitops.adapter_sdk.contract import AdapterResult, GatewayAdapter, WriteLimits
from stoa_gitops.adapter_sdk.guarded_losses import (
    CombinedLossFinder,
    LossFinder,
    guarded,
    guarded_combined,
)
from stoa_gitops.adapter_sdk.info import AdapterInfo, Connection
from stoa_gitops.adapter_sdk.observation import Items, ObservationCache, foreign_routes
from stoa_gitops.adapter_sdk.results import failure, internal_error, internal_error_message
from stoa_gitops.adapters.registry import reasons
from stoa_gitops.drivers.execution import Execution, ExecutionOptions, Resolve
from stoa_gitops.errors import GatewayError, GatewayUnreachable, StoaGitopsError
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    ForeignRoute,
    Observed,
    Resource,
)
from stoa_gitops.model.routing import UNNESTED
from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.planning.inputs import GatewayPlanInput, SpecMemo, projection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for a whole call, retries and pauses included.

    health    health check; short, because a cycle waits for it before anything else
    observe   reading all kinds
    write     one write of a gateway that is written object by object
    document  one document, or an export
    """

    health: float = 10.0
    observe: float = 120.0
    write: float = 60.0
    document: float = 300.0


def _memoised_losses(
    find: LossFinder,
) -> SpecMemo[tuple[Loss, ...]]:
    return SpecMemo(guarded(find))


class _RuleMemo(Generic[T]):
    """What was made of a function of an adapter's rules, kept as long as it is the same one."""

    __slots__ = ("_function", "_memo", "_wrap")

    def __init__(self, wrap: Callable[[Any], T]) -> None:
        self._wrap = wrap
        self._function: object = None
        self._memo: T | None = None

    def memo_for(self, function: object) -> T | None:
        """Return what was made of the function; None for None. Another one starts anew."""
        if function is not self._function:
            self._function = function
            self._memo = None if function is None else self._wrap(function)
        return self._memo


class Driver:
    """One gateway. Only cancellation and the constructor's GatewayError are raised by most methods.

    clock   aware time of observations
    writer  lock of this gateway's only writer; `Drivers` hands one in that outlives this driver

        driver = Driver(info_for("kong"), connection, clock=lambda: datetime.now(UTC))
        await driver.health()
        actual = await driver.observe(records)
        plan = plan_gateway(driver.plan_input(), desired, actual, records, context)
        async for outcome in driver.execute(plan, resolve):
            print(outcome.status, outcome.change.key)
    """

    def __init__(
        self,
        info: AdapterInfo,
        connection: Connection,
        *,
        clock: Callable[[], datetime],
        deadlines: Deadlines | None = None,
        writer: asyncio.Lock | None = None,
    ) -> None:
        self.info = info
        self.connection = connection
        self._clock = clock
        self._deadlines = deadlines or Deadlines()
        self._writer = writer or asyncio.Lock()
        self._adapter: GatewayAdapter = info.factory(connection)
        self._version = ""
        self._observed = ObservationCache()
        self._routes: tuple[tuple[Observed, ...], tuple[ForeignRoute, ...]] | None = None
        self._projection: _RuleMemo[SpecMemo[Spec]] = _RuleMemo(projection)
        self._losses: _RuleMemo[SpecMemo[tuple[Loss, ...]]] = _RuleMemo(_memoised_losses)
        self._combined: _RuleMemo[CombinedLossFinder] = _RuleMemo(guarded_combined)

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.connection.instance.name

    @property
    def title(self) -> str:
        """Type, version and notes for people: `kong 3.9.1 (document writes)`."""
        words = [self.connection.instance.gateway_type, self._version]
        is_document = self._adapter.granularity is Granularity.DOCUMENT
        notes = [*(["document writes"] if is_document else []), *self._adapter.notes]
        if notes:
            words.append(f"({', '.join(notes)})")
        return " ".join(word for word in words if word)

    @property
    def capabilities(self) -> Capabilities:
        """What the gateway can do: as it runs after `health`, as declared before."""
        running = self._adapter.capabilities()
        return self.info.capabilities if running is None else running

    @property
    def rules(self) -> Rules:
        """How specs compare on this gateway: as it runs after `health`, as declared before."""
        return self._adapter.rules() or self.info.rules_of(self.connection.instance)

    def plan_input(self) -> GatewayPlanInput:
        """Return what the planner needs to know of this gateway; call it after `health`."""
        return GatewayPlanInput.of(
            self.connection.instance,
            title=self.title,
            capabilities=reasons(self.capabilities),
            project=self._projection.memo_for(self.rules.project),
            losses=self._losses.memo_for(self.rules.losses),
            refuse_adoption=self.rules.refuse_adoption,
            router=self.rules.router if self.info.allows_nested_paths else UNNESTED,
            has_one_name_space=self.info.has_one_name_space,
            combined=self._combined.memo_for(self.rules.combined),
        )

    async def aclose(self) -> None:
        """Close the connections; waits for a running apply."""
        async with self._writer:
            await self._adapter.disconnect()

    async def health(self) -> AdapterResult:
        """Check that the gateway responds; capabilities and rules are the running one's then."""
        try:
            async with asyncio.timeout(self._deadlines.health):
                await self._adapter.connect()
                result = await self._adapter.health_check()
        except TimeoutError:
            seconds = self._deadlines.health
            message = f"no response to the health check within {seconds:g} s"
            return failure(GatewayUnreachable(message))
        except StoaGitopsError as error:
            return failure(error)
        except Exception as error:  # noqa: BLE001  # a bug in one adapter must not end the process
            return internal_error(error)
        if result.success:
            self._version = str((result.data or {}).get("version", ""))
        return result

    @property
    def archive_suffix(self) -> str:
        """Suffix of the file that a backup is; empty where it is a document, or there is none."""
        return self._adapter.archive_suffix

    @property
    def imports_archives(self) -> bool:
        """Whether a plan can be written as one archive."""
        return self._adapter.imports_archives

    async def export_archive(self, target: BinaryIO | None = None) -> AdapterResult:
        """Request a backup; `Not supported by …` where the gateway makes none.

        One that is a file is written to `target`.
        """
        try:
            async with asyncio.timeout(self._deadlines.document):
                return await self._adapter.export_archive(target)
        except TimeoutError:
            return failure(GatewayUnreachable("the export did not finish in time"))
        except Exception as error:  # noqa: BLE001  # as in health()
            return internal_error(error)

    async def observe(
        self,
        inventory: Mapping[Key, AppliedRecord],
        desired: Iterable[Key] = (),
        *,
        for_documents: bool = False,
    ) -> ActualState:
        """Return all objects; a state with an `error` if any list could not be read. Never raises.

        A partial state is reported as unknown: an object missing from it would look deleted.
        `desired` are the objects of the catalog; `for_documents` says that documents are made of
        foreign objects, which may take more calls than a plan does.
        """
        now = self._clock()
        try:
            self._adapter.note_keys(inventory.keys() | desired)
            self._adapter.note_records(inventory)
            if for_documents:
                self._adapter.note_documents()
            methods = self._adapter.methods()
            lists = await self._read_kinds([kind for kind, m in methods.items() if m.list])
            objects = await self._objects(lists, inventory)
            routes = await self._foreign_routes(objects)
        except StoaGitopsError as error:
            retry_after = (error.retry_after if isinstance(error, GatewayError) else None) or 0.0
            return ActualState(
                self.name,
                now,
                error=str(error),
                error_reason=error.reason,
                retry_after=retry_after,
            )
        except Exception as error:  # noqa: BLE001  # unknown rather than empty, whatever happened
            message = internal_error_message(error)
            return ActualState(self.name, now, error=message, error_reason="InternalError")
        return ActualState(self.name, now, objects, routes=routes)

    async def unmapped(self) -> tuple[Unmapped, ...]:
        """Return what no document can express of the foreign objects that `observe` saw.

        Raises GatewayError.
        """
        try:
            async with asyncio.timeout(self._deadlines.observe):
                return await self._adapter.list_unmapped()
        except TimeoutError:
            raise GatewayUnreachable("the gateway was not read in time") from None
        except StoaGitopsError:
            raise
        except Exception as error:
            raise GatewayError(internal_error_message(error)) from error

    async def _objects(
        self, lists: Sequence[Items], inventory: Mapping[Key, AppliedRecord]
    ) -> tuple[Observed, ...]:
        """Return the identical tuple again if the adapter returned the identical lists."""
        if not self._observed.matches(lists, inventory):
            # In a thread: 30,000 objects take about half a second.
            self._observed = await asyncio.to_thread(self._observed.refreshed, lists, inventory)
        return self._observed.objects

    async def _foreign_routes(self, objects: tuple[Observed, ...]) -> tuple[ForeignRoute, ...]:
        """Return the foreign routes: the identical tuple again where nothing has changed."""
        listed = await self._adapter.list_routes()
        if listed is not None:
            return listed
        if self._routes is None or self._routes[0] is not objects:
            self._routes = objects, tuple(foreign_routes(objects, self.rules.router))
        return self._routes[1]

    async def execute(
        self,
        plan: Plan,
        resolve: Resolve,
        *,
        held: frozenset[Key] = frozenset(),
        concurrency: int = 8,
        verify: bool = True,
        as_archive: bool = False,
        waiting: Sequence[Resource] = (),
    ) -> AsyncGenerator[Outcome, None]:
        """Apply a plan in its order and yield one outcome for each change, in that order.

        held     keys that wait for a person's force: blocked, and their dependants with them
        verify   read back what was written, and fail what the gateway holds differently
        as_archive  write everything as one archive, where the gateway `imports_archives`
        waiting  what the catalog wants and the plan leaves as it is

        Exhaust the iterator or leave it by `contextlib.aclosing`: it holds the writer's lock.
        """
        async with (
            self.execution(
                resolve,
                held=held,
                concurrency=concurrency,
                verify=verify,
                as_archive=as_archive,
                waiting=waiting,
            ) as execution,
            aclosing(execution.apply(plan.changes)) as batches,
        ):
            async for batch in batches:
                for outcome in await execution.verify(batch):
                    yield outcome

    @asynccontextmanager
    async def execution(
        self,
        resolve: Resolve,
        *,
        held: frozenset[Key] = frozenset(),
        concurrency: int = 8,
        verify: bool = True,
        as_archive: bool = False,
        waiting: Sequence[Resource] = (),
    ) -> AsyncIterator[Execution]:
        """Hold the writer's lock, and give what applies a plan and verifies it batch by batch.

        The options are those of `execute`; `as_archive` only where `imports_archives`.
        """
        limits = WriteLimits(concurrency, self._deadlines.write)
        public_url = self.connection.instance.public_url
        seconds = self._deadlines.document
        options = ExecutionOptions(held, limits, seconds, verify, public_url, as_archive, waiting)
        async with self._writer:
            yield Execution(self._adapter, self.rules, self._read_kinds, resolve, options)

    async def _read_kinds(self, kinds: Sequence[str]) -> Sequence[Items]:
        """Read some kinds concurrently, within the deadline for observing; raises GatewayError."""
        try:
            async with asyncio.timeout(self._deadlines.observe):
                tasks = [asyncio.ensure_future(self._adapter.list_cached(kind)) for kind in kinds]
                try:
                    lists = await asyncio.gather(*tasks)
                finally:
                    # gather leaves the others running when one raises.
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        except TimeoutError:
            seconds = self._deadlines.observe
            raise GatewayUnreachable(f"the gateway was not read within {seconds:g} s") from None
        return lists
