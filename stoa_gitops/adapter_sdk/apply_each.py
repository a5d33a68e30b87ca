"""The default of `apply`: walk the methods in the plan's order, some at a time.

Changes of one rank (the same kind, the same direction, independent of each other) run side by side; the next
rank starts when the one before is done, so the order shown is the order applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from stoa_gitops.adapter_sdk.blocking import FailedDependencies, failure, outcome_of
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    ObjectSpec,
    Write,
    WriteLimits,
    method_not_supported,
)
from stoa_gitops.adapter_sdk.results import unexpected
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome

PATIENCE = 5
"""So many writes in a row that find no gateway end the walk: the others would only wait in vain."""

ABSENT = frozenset({"GatewayUnreachable", "GatewayUnauthorized"})


async def apply_each(
    adapter: GatewayAdapter, writes: Sequence[Write], pace: WriteLimits
) -> AsyncIterator[Outcome]:
    """Write one after another through the adapter's methods; one outcome for each, in order."""
    fallout, absence = FailedDependencies(), UnreachableStreak()
    for rank in ranks([write.change for write in writes]):
        batch = [writes[index] for index in rank]
        async for outcome in _side_by_side(adapter, batch, pace, fallout, absence):
            yield outcome


def ranks(changes: Sequence[Change]) -> Iterator[range]:
    """Cut an ordered list of changes where one must wait for another, as ranges of indices."""
    start = 0
    seen: set[Key] = set()
    for index, change in enumerate(changes):
        first = changes[start]
        same = change.key.kind == first.key.kind and _deletes(change) == _deletes(first)
        if not same or change.key in seen or not seen.isdisjoint(change.depends_on):
            yield range(start, index)
            start = index
            seen = set()
        seen.add(change.key)
    if start < len(changes):
        yield range(start, len(changes))


class UnreachableStreak:
    """Counts writes in a row that found no gateway, or one that does not know us."""

    def __init__(self) -> None:
        self._row = 0
        self._last = ""

    def note(self, outcome: Outcome) -> None:
        """Count one more, or begin again; what was not tried tells nothing."""
        if outcome.attempts == 0:
            return
        self._row = self._row + 1 if outcome.reason in ABSENT else 0
        self._last = outcome.reason

    def given_up(self, change: Change) -> Outcome | None:
        """Return the outcome of a change that is not worth trying."""
        if self._row < PATIENCE:
            return None
        message = f"not tried: the {self._row} writes before it failed the same way"
        return failure(change, self._last, message, attempts=0)


async def _side_by_side(
    adapter: GatewayAdapter,
    batch: Sequence[Write],
    pace: WriteLimits,
    fallout: FailedDependencies,
    absence: UnreachableStreak,
) -> AsyncIterator[Outcome]:
    gate = asyncio.Semaphore(pace.concurrency)

    async def one(write: Write) -> Outcome:
        async with gate:
            outcome = absence.given_up(write.change) or await _write(adapter, write, pace)
        absence.note(outcome)
        return outcome

    async def blocked(outcome: Outcome) -> Outcome:
        return outcome

    tasks: list[asyncio.Task[Outcome]] = []
    try:
        for write in batch:
            held = fallout.blocked(write.change)
            tasks.append(asyncio.create_task(blocked(held) if held else one(write)))
        for task in tasks:
            outcome = await task
            fallout.record(outcome)
            yield outcome
    finally:
        # Reached early when the caller walks away or is cancelled: nothing may write on unseen.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write(adapter: GatewayAdapter, write: Write, pace: WriteLimits) -> Outcome:
    """Do one change within its time; whatever an adapter raises against its contract is an outcome too."""
    try:
        async with asyncio.timeout(pace.write_seconds):
            result = await call(adapter, write)
    except TimeoutError:
        words = f"the gateway did not finish within {pace.write_seconds:g} s"
        return failure(write.change, "GatewayUnreachable", words)
    except Exception as error:  # noqa: BLE001  # nothing but cancellation leaves the boundary
        result = unexpected(error)
    return outcome_of(write.change, result)


async def call(adapter: GatewayAdapter, write: Write) -> AdapterResult:
    """Call the method that a change asks for; an answer in the documented words where there is none."""
    change, spec = write.change, write.spec
    if change.action is Action.DELETE:
        gateway_id = change.observed.gateway_id if change.observed else ""
        return await _delete(adapter, change.key.kind, gateway_id)
    if spec is None:
        raise TypeError("a write that is no deletion needs a spec")
    return await _upsert(adapter, change.key, spec)


async def _upsert(adapter: GatewayAdapter, key: Key, spec: ObjectSpec) -> AdapterResult:
    if key.kind == API:
        return await adapter.sync_api(spec, key.tenant)
    methods = {
        POLICY: adapter.upsert_policy,
        APPLICATION: adapter.provision_application,
        "authserver": adapter.upsert_auth_server,
        "strategy": adapter.upsert_strategy,
        "authstrategy": adapter.upsert_strategy,
        "scope": adapter.upsert_scope,
        "alias": adapter.upsert_alias,
        "config": adapter.apply_config,
        "gatewayconfig": adapter.apply_config,
    }
    method = methods.get(key.kind.replace("_", ""))
    return await method(spec) if method else method_not_supported(adapter.title)


async def _delete(adapter: GatewayAdapter, kind: str, gateway_id: str) -> AdapterResult:
    methods = {
        API: adapter.delete_api,
        POLICY: adapter.delete_policy,
        APPLICATION: adapter.deprovision_application,
    }
    method = methods.get(kind)
    return await method(gateway_id) if method else method_not_supported(adapter.title)


def _deletes(change: Change) -> bool:
    return change.action is Action.DELETE
