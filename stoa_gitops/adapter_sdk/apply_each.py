"""`ResourceAdapter`: applies a plan object by object through the methods of the contract.

Changes of one rank (same kind, same direction, independent of each other) run concurrently; the
next rank starts when the one before is finished, so the order shown is the order applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from stoa_gitops.adapter_sdk.blocking import FailedDependencies, failed_outcome, outcome_of
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    Methods,
    Write,
    WriteLimits,
    method_not_supported,
)
from stoa_gitops.adapter_sdk.results import internal_error
from stoa_gitops.errors import GatewayBusy
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.kinds import kind_info
from stoa_gitops.model.outcomes import Outcome

# 5 rather than 1: one lost connection must not end an apply; each further try costs up to 45 s.
GIVE_UP_AFTER = 5
"""Failures in a row to reach the gateway after which the remaining writes are not tried."""

UNREACHABLE_REASONS = frozenset({"GatewayUnreachable", "GatewayUnauthorized"})


# A limit may be shared with other programs, which can take what became free meanwhile.
BUSY_TRIES = 3
"""Tries of a write that a gateway with a limit of calls refuses as busy."""


@dataclass(frozen=True, slots=True)
class Turns:
    """When a gateway with a limit of calls takes a write.

    wait        waits until it takes this one; no part of the write's time
    is_limited  whether the gateway said that it has a limit: only then a busy one is tried again
    """

    wait: Callable[[Write], Awaitable[None]]
    is_limited: Callable[[], bool]


class ResourceAdapter(GatewayAdapter):
    """Base class of adapters whose gateways are written object by object."""

    def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write several changes, rank by rank, and yield one outcome for each, in order."""
        return apply_each(self, writes, limits)


async def apply_each(
    adapter: GatewayAdapter,
    writes: Sequence[Write],
    limits: WriteLimits,
    turns: Turns | None = None,
) -> AsyncIterator[Outcome]:
    """Write each change by the method for its kind; yield one outcome for each, in order.

    With `turns` each write waits for its own, and again where the gateway refuses it as busy.
    """
    failed, streak = FailedDependencies(), UnreachableStreak()
    for rank in ranks([write.change for write in writes]):
        batch = [writes[index] for index in rank]
        async for outcome in _apply_concurrently(adapter, batch, limits, failed, streak, turns):
            yield outcome


def ranks(changes: Sequence[Change]) -> Iterator[range]:
    """Split ordered changes into ranges of indices that may run concurrently."""
    start = 0
    seen: set[Key] = set()
    for index, change in enumerate(changes):
        first = changes[start]
        is_same = change.key.kind == first.key.kind and _deletes(change) == _deletes(first)
        if not is_same or change.key in seen or not seen.isdisjoint(change.depends_on):
            yield range(start, index)
            start = index
            seen = set()
        seen.add(change.key)
    if start < len(changes):
        yield range(start, len(changes))


class UnreachableStreak:
    """Counts writes in a row that did not reach the gateway or were not authenticated."""

    def __init__(self) -> None:
        self._length = 0
        self._reason = ""

    def count_outcome(self, outcome: Outcome) -> None:
        """Extend or end the streak; a change that was not tried does neither."""
        if outcome.attempts == 0:
            return
        self._length = self._length + 1 if outcome.reason in UNREACHABLE_REASONS else 0
        self._reason = outcome.reason

    def skipped_outcome(self, change: Change) -> Outcome | None:
        """Return FAILED without a try once the streak is long enough; None before."""
        if self._length < GIVE_UP_AFTER:
            return None
        message = f"not tried: the {self._length} writes before it failed the same way"
        return failed_outcome(change, self._reason, message, attempts=0)


async def _apply_concurrently(
    adapter: GatewayAdapter,
    batch: Sequence[Write],
    limits: WriteLimits,
    failed: FailedDependencies,
    streak: UnreachableStreak,
    turns: Turns | None,
) -> AsyncIterator[Outcome]:
    slots = asyncio.Semaphore(limits.concurrency)

    async def write_one(write: Write) -> Outcome:
        async with slots:
            outcome = streak.skipped_outcome(write.change) or (
                await _write(adapter, write, limits)
                if turns is None
                else await _write_in_turn(adapter, write, limits, turns)
            )
        streak.count_outcome(outcome)
        return outcome

    async def without_writing(outcome: Outcome) -> Outcome:
        return outcome

    tasks: list[asyncio.Task[Outcome]] = []
    try:
        for write in batch:
            blocked = failed.blocked_outcome(write.change)
            coroutine = without_writing(blocked) if blocked else write_one(write)
            tasks.append(asyncio.create_task(coroutine))
        for task in tasks:
            outcome = await task
            failed.add_outcome(outcome)
            yield outcome
    finally:
        # Reached early if the caller closes the generator or is cancelled: no write may go on.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write_in_turn(
    adapter: GatewayAdapter, write: Write, limits: WriteLimits, turns: Turns
) -> Outcome:
    """Apply one change in its turn; up to BUSY_TRIES times while the gateway is busy."""
    for _ in range(BUSY_TRIES):
        await turns.wait(write)
        outcome = await _write(adapter, write, limits)
        if outcome.reason != GatewayBusy.reason or not turns.is_limited():
            break
    return outcome


async def _write(adapter: GatewayAdapter, write: Write, limits: WriteLimits) -> Outcome:
    """Apply one change within its time; an adapter that raises against its contract fails it."""
    try:
        async with asyncio.timeout(limits.write_seconds):
            result = await call_method(adapter, write)
    except TimeoutError:
        message = f"the gateway did not finish within {limits.write_seconds:g} s"
        return failed_outcome(write.change, "GatewayUnreachable", message)
    except Exception as error:  # noqa: BLE001  # only cancellation may leave this boundary
        result = internal_error(error)
    return outcome_of(write.change, result)


async def call_method(adapter: GatewayAdapter, write: Write) -> AdapterResult:
    """Call the method that a change needs; `Not supported by …` if the adapter has none."""
    change, spec = write.change, write.spec
    methods = methods_for(adapter, change.key.kind)
    if change.action is Action.DELETE:
        if methods is None or methods.delete is None:
            return method_not_supported(adapter.title)
        return await methods.delete(change.observed.gateway_id if change.observed else "")
    if spec is None:
        raise TypeError("a write that is no deletion needs a spec")
    return await methods.upsert(spec) if methods else method_not_supported(adapter.title)


def methods_for(adapter: GatewayAdapter, kind: str) -> Methods | None:
    """Return an adapter's methods for a kind in any spelling; None for an unknown kind."""
    info = kind_info(kind)
    return adapter.methods().get(info.name if info else kind)


def _deletes(change: Change) -> bool:
    return change.action is Action.DELETE
