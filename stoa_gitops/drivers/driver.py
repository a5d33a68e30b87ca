"""The only caller of adapters: from plans to outcomes, and from a gateway to its actual state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from stoa_gitops.adapter_sdk.contract import (
    AdapterInfo,
    AdapterResult,
    Capabilities,
    Connection,
    GatewayAdapter,
    Granularity,
    Rules,
    WriteLimits,
)
from stoa_gitops.adapter_sdk.observation import Items, ObservationCache
from stoa_gitops.adapter_sdk.results import defect, failed, unexpected
from stoa_gitops.adapters.registry import reasons
from stoa_gitops.drivers.execution import Execution, Options, Resolve
from stoa_gitops.errors import GatewayError, GatewayUnreachable, StoaGitopsError
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, Observed
from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.planning.inputs import GatewayPlanInput, SpecMemo, projection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that the whole of a call may take."""

    health: float = 10.0
    observe: float = 120.0
    write: float = 60.0
    document: float = 300.0


class _Kept(Generic[T]):
    """A function of an adapter's rules with the answers that it gave, as long as it is the same function."""

    def __init__(self, wrap: Callable[[Any], SpecMemo[T]]) -> None:
        self._wrap = wrap
        self._function: object = None
        self._kept: SpecMemo[T] | None = None

    def of(self, function: object) -> SpecMemo[T] | None:
        """Return the function over specs, with its memory; None for None."""
        if function is not self._function:
            self._function = function
            self._kept = None if function is None else self._wrap(function)
        return self._kept


class Driver:
    """One gateway. Nothing but cancellation and GatewayError of the constructor leaves it.

    clock   aware time of observations
    writer  the lock of this gateway's only writer; the pool hands one in that outlives this driver
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
        self._seen = ObservationCache()
        self._projection: _Kept[Spec] = _Kept(projection)
        self._losses: _Kept[tuple[Loss, ...]] = _Kept(SpecMemo)

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.connection.instance.name

    @property
    def title(self) -> str:
        """What people see beside the name: type, version, and how it is written if not by object."""
        message = [self.connection.instance.gateway_type, self._version]
        is_document = self._adapter.granularity is Granularity.DOCUMENT
        notes = [*(["document writes"] if is_document else []), *self._adapter.notes]
        if notes:
            message.append(f"({', '.join(notes)})")
        return " ".join(word for word in message if word)

    @property
    def capabilities(self) -> Capabilities:
        """What the gateway can do: as it runs after `health`, as declared before."""
        own = self._adapter.capabilities()
        return self.info.capabilities if own is None else own

    @property
    def rules(self) -> Rules:
        """How specs compare on this gateway: as it runs after `health`, as declared before."""
        return self._adapter.rules() or self.info.rules

    def plan_input(self) -> GatewayPlanInput:
        """Return what the planner needs to know of this gateway; call it after `health`."""
        return GatewayPlanInput.of(
            self.connection.instance,
            title=self.title,
            capabilities=reasons(dict(self.capabilities)),
            project=self._projection.of(self.rules.project),
            losses=self._losses.of(self.rules.losses),
        )

    async def aclose(self) -> None:
        """Close the connections; waits for a running apply."""
        async with self._writer:
            await self._adapter.disconnect()

    async def health(self) -> AdapterResult:
        """Ask whether the gateway answers; afterwards capabilities and rules are those of the running one."""
        try:
            async with asyncio.timeout(self._deadlines.health):
                await self._adapter.connect()
                result = await self._adapter.health_check()
        except TimeoutError:
            seconds = self._deadlines.health
            return failed(GatewayUnreachable(f"no answer to the health check within {seconds:g} s"))
        except StoaGitopsError as error:
            return failed(error)
        except Exception as error:  # noqa: BLE001  # the boundary
            return unexpected(error)
        if result.success:
            self._version = str((result.data or {}).get("version", ""))
        return result

    async def export_archive(self) -> AdapterResult:
        """Ask for a backup; `Not supported by …` where the gateway makes none."""
        try:
            async with asyncio.timeout(self._deadlines.document):
                return await self._adapter.export_archive()
        except TimeoutError:
            return failed(GatewayUnreachable("the export did not finish in time"))
        except Exception as error:  # noqa: BLE001  # the boundary
            return unexpected(error)

    async def observe(self, inventory: Mapping[Key, AppliedRecord]) -> ActualState:
        """Read everything; a state with an `error` when any part could not be read, never raises."""
        now = self._clock()
        try:
            lists = await self._lists((API, POLICY, APPLICATION))
            objects = await self._objects(lists, inventory)
        except StoaGitopsError as error:
            patience = (error.retry_after if isinstance(error, GatewayError) else None) or 0.0
            return ActualState(
                self.name,
                now,
                error=str(error),
                error_reason=error.reason,
                retry_after=patience,
            )
        except Exception as error:  # noqa: BLE001  # the boundary: Unknown, never Empty
            return ActualState(self.name, now, error=defect(error), error_reason="InternalError")
        return ActualState(self.name, now, objects)

    async def remnants(self) -> tuple[Unmapped, ...]:
        """Tell what of the foreign objects that `observe` saw no document can say; raises GatewayError."""
        try:
            async with asyncio.timeout(self._deadlines.observe):
                return await self._adapter.list_remnants()
        except TimeoutError:
            raise GatewayUnreachable("the gateway was not read in time") from None
        except StoaGitopsError:
            raise
        except Exception as error:  # the boundary
            raise GatewayError(defect(error)) from error

    async def _objects(
        self, lists: Sequence[Items], inventory: Mapping[Key, AppliedRecord]
    ) -> tuple[Observed, ...]:
        """Return the very tuple of the last look where the adapter answered with the very same lists."""
        if not self._seen.is_of(lists, inventory):
            self._seen = await asyncio.to_thread(self._seen.moved_to, lists, inventory)
        return self._seen.objects

    async def execute(
        self,
        plan: Plan,
        resolve: Resolve,
        *,
        held: frozenset[Key] = frozenset(),
        concurrency: int = 8,
        verify: bool = True,
    ) -> AsyncGenerator[Outcome, None]:
        """Apply a plan in its order and yield one outcome for each change, in that order.

        held     keys that wait for a person's force: blocked, and their dependants with them
        verify   read back what was written and fail what the gateway holds otherwise
        Leave the iterator by exhausting it or by `contextlib.aclosing`: it holds the writer's lock.
        """
        pace = WriteLimits(concurrency, self._deadlines.write)
        public_url = self.connection.instance.public_url
        options = Options(held, pace, self._deadlines.document, verify, public_url)
        async with self._writer:
            run = Execution(self._adapter, self.rules, self._lists, resolve, options)
            async with aclosing(run.outcomes(plan.changes)) as outcomes:
                async for outcome in outcomes:
                    yield outcome

    async def _lists(self, kinds: Sequence[str]) -> Sequence[Items]:
        """Read some kinds side by side, within the time for observing; raises GatewayError."""
        try:
            async with asyncio.timeout(self._deadlines.observe):
                tasks = [asyncio.ensure_future(self._adapter.look(kind)) for kind in kinds]
                try:
                    parts = await asyncio.gather(*tasks)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        except TimeoutError:
            seconds = self._deadlines.observe
            raise GatewayUnreachable(f"the gateway was not read within {seconds:g} s") from None
        return parts
