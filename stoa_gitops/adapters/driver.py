"""The only caller of adapters: from plans to outcomes, and from a gateway to its actual state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from stoa_gitops.adapters.contract import (
    AdapterInfo,
    AdapterResult,
    Capabilities,
    Connection,
    GatewayAdapter,
    Granularity,
    ObjectSpec,
    Pace,
    Rules,
    Write,
)
from stoa_gitops.adapters.fallout import Fallout, failure
from stoa_gitops.adapters.observing import observed_objects
from stoa_gitops.adapters.registry import reasons
from stoa_gitops.adapters.results import defect, failed, unexpected
from stoa_gitops.adapters.verification import judge
from stoa_gitops.adapters.walk import Absence, ranks
from stoa_gitops.errors import GatewayUnreachable, SecretUnresolved, StoaGitopsError
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import ActualState, AppliedRecord, Resource
from stoa_gitops.planning.target import Target

Resolve = Callable[[Resource], ObjectSpec]
"""Puts values in the place of secret references; raises SecretUnresolved. May block for milliseconds."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that the whole of a call may take."""

    health: float = 10.0
    observe: float = 120.0
    write: float = 60.0
    document: float = 300.0


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

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.connection.instance.name

    @property
    def title(self) -> str:
        """What people see beside the name: type, version, and how it is written if not by object."""
        words = [self.connection.instance.gateway_type, self._version]
        if self._adapter.granularity is Granularity.DOCUMENT:
            words.append("(document writes)")
        return " ".join(word for word in words if word)

    @property
    def capabilities(self) -> Capabilities:
        """What the gateway can do: as it runs after `health`, as declared before."""
        own = self._adapter.capabilities()
        return self.info.capabilities if own is None else own

    @property
    def rules(self) -> Rules:
        """How specs compare on this gateway: as it runs after `health`, as declared before."""
        return self._adapter.rules() or self.info.rules

    def target(self) -> Target:
        """Return what the planner needs to know of this gateway; call it after `health`."""
        return Target.of(
            self.connection.instance,
            title=self.title,
            capabilities=reasons(dict(self.capabilities)),
            project=self.rules.project,
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
            items = await self._lists((API, POLICY, APPLICATION))
            objects = await asyncio.to_thread(observed_objects, items, inventory)
        except StoaGitopsError as error:
            return ActualState(self.name, now, error=str(error), error_reason=error.reason)
        except Exception as error:  # noqa: BLE001  # the boundary: Unknown, never Empty
            return ActualState(self.name, now, error=defect(error), error_reason="InternalError")
        return ActualState(self.name, now, objects)

    async def execute(
        self,
        plan: Plan,
        resolve: Resolve,
        *,
        held: frozenset[Key] = frozenset(),
        concurrency: int = 8,
        verify: bool = True,
    ) -> AsyncIterator[Outcome]:
        """Apply a plan in its order and yield one outcome for each change, in that order.

        held     keys that wait for a person's force: blocked, and their dependants with them
        verify   read back what was written and fail what the gateway holds otherwise
        Leave the iterator by exhausting it or by `contextlib.aclosing`: it holds the writer's lock.
        """
        pace = Pace(concurrency, self._deadlines.write)
        fallout, absence = Fallout(), Absence()
        async with self._writer:
            for batch in self._batches(plan.changes):
                outcomes = self._prepared(batch, resolve, held, fallout, absence)
                writes = [item for item in outcomes.values() if isinstance(item, Write)]
                written = await self._apply(writes, pace)
                if verify:
                    written = await self._verified(written)
                by_change = {id(outcome.change): outcome for outcome in written}
                for change in batch:
                    item = outcomes[id(change)]
                    outcome = item if isinstance(item, Outcome) else by_change[id(change)]
                    fallout.record(outcome)
                    absence.note(outcome)
                    yield outcome

    def _batches(self, changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Cut a plan where one change must wait for another; a document takes it whole."""
        if self._adapter.granularity is Granularity.DOCUMENT:
            yield changes
            return
        for rank in ranks(changes):
            yield [changes[index] for index in rank]

    def _prepared(
        self,
        batch: Sequence[Change],
        resolve: Resolve,
        held: frozenset[Key],
        fallout: Fallout,
        absence: Absence,
    ) -> dict[int, Write | Outcome]:
        """Return by identity of the change what to write, or the outcome of what is not written."""
        prepared: dict[int, Write | Outcome] = {}
        for change in batch:
            item = (
                _held(change, held)
                or fallout.blocked(change)
                or absence.given_up(change)
                or _resolved(change, resolve)
            )
            if isinstance(item, Outcome):
                fallout.record(item)
            prepared[id(change)] = item
        return prepared

    async def _apply(self, writes: Sequence[Write], pace: Pace) -> list[Outcome]:
        """Hand writes to the adapter; whatever it says nothing about has failed."""
        said: dict[int, Outcome] = {}
        words, reason = "the adapter said nothing about this change", "InternalError"
        is_document = self._adapter.granularity is Granularity.DOCUMENT
        limit = self._deadlines.document if is_document and writes else None
        try:
            async with asyncio.timeout(limit):
                async for outcome in self._adapter.apply(writes, pace):
                    said[id(outcome.change)] = outcome
        except TimeoutError:
            words, reason = f"the gateway did not finish within {limit:g} s", "GatewayUnreachable"
        except StoaGitopsError as error:
            words, reason = str(error), error.reason
        except Exception as error:  # noqa: BLE001  # the boundary
            words = defect(error)
        return [
            said.get(id(write.change)) or failure(write.change, reason, words) for write in writes
        ]

    async def _verified(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Read the written kinds back; what cannot be read back stays as it is, with a warning."""
        kinds = {o.change.key.kind for o in outcomes if o.status is Status.APPLIED}
        if not kinds:
            return outcomes
        try:
            items = await self._lists(sorted(kinds & {API, POLICY, APPLICATION}))
            seen = observed_objects(items, {})
        except Exception as error:  # noqa: BLE001  # the write was acknowledged; the look was not
            said = str(error) if isinstance(error, StoaGitopsError) else defect(error)
            warning = f"could not be read back: {said}"
            return [
                replace(o, warnings=(*o.warnings, warning)) if o.status is Status.APPLIED else o
                for o in outcomes
            ]
        return judge(outcomes, seen, self.rules)

    async def _lists(self, kinds: Sequence[str]) -> list[dict[str, Any]]:
        """Read some kinds side by side, within the time for observing; raises GatewayError."""
        methods = {
            API: self._adapter.list_apis,
            POLICY: self._adapter.list_policies,
            APPLICATION: self._adapter.list_applications,
        }
        try:
            async with asyncio.timeout(self._deadlines.observe):
                tasks = [asyncio.ensure_future(methods[kind]()) for kind in kinds]
                try:
                    parts = await asyncio.gather(*tasks)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        except TimeoutError:
            seconds = self._deadlines.observe
            raise GatewayUnreachable(f"the gateway was not read within {seconds:g} s") from None
        return [item for part in parts for item in part]


def _held(change: Change, held: frozenset[Key]) -> Outcome | None:
    if change.key not in held:
        return None
    return Outcome(change, Status.BLOCKED, "Held", "waits until a person forces it", attempts=0)


def _resolved(change: Change, resolve: Resolve) -> Write | Outcome:
    """Fill in the secrets of one change, as late as can be."""
    if change.action is Action.DELETE or change.resource is None:
        return Write(change, None)
    try:
        spec = resolve(change.resource)
    except SecretUnresolved as error:
        return failure(change, error.reason, str(error), attempts=0)
    except Exception as error:  # noqa: BLE001  # the boundary
        return failure(change, "InternalError", defect(error), attempts=0)
    return Write(
        change, replace(spec, gateway_id=change.observed.gateway_id if change.observed else "")
    )
