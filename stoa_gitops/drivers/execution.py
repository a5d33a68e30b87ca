"""One plan on one gateway: batches in order, secrets as late as can be, and every change gets an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from stoa_gitops.adapter_sdk.apply_each import UnreachableStreak, ranks
from stoa_gitops.adapter_sdk.blocking import FailedDependencies, failure
from stoa_gitops.adapter_sdk.contract import (
    GatewayAdapter,
    Granularity,
    ObjectSpec,
    Rules,
    Write,
    WriteLimits,
)
from stoa_gitops.adapter_sdk.observation import Items, observed_objects
from stoa_gitops.adapter_sdk.results import defect
from stoa_gitops.drivers.route_probe import Prober
from stoa_gitops.drivers.verification import judge
from stoa_gitops.errors import SecretUnresolved, StoaGitopsError
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import Resource

PORTION = 500
"""Changes that are resolved and written at a time."""

Resolve = Callable[[Resource], ObjectSpec]
"""Puts values in the place of secret references; raises SecretUnresolved. May block for milliseconds."""

Read = Callable[[Sequence[str]], Awaitable[Sequence[Items]]]
"""Reads the objects of some kinds, a list for each; raises GatewayError."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to execute: keys that wait for force, pace, seconds for a whole document, reading back, where to probe."""

    held: frozenset[Key] = frozenset()
    pace: WriteLimits = field(default_factory=WriteLimits)
    document_seconds: float = 300.0
    verify: bool = True
    public_url: str = ""


class Execution:
    """Runs once; the caller holds the writer's lock."""

    def __init__(
        self, adapter: GatewayAdapter, rules: Rules, read: Read, resolve: Resolve, options: Options
    ) -> None:
        self._adapter = adapter
        self._rules = rules
        self._read = read
        self._resolve = resolve
        self._options = options
        self._is_document = adapter.granularity is Granularity.DOCUMENT
        self._prober = Prober(options.public_url)
        self._fallout, self._absence = FailedDependencies(), UnreachableStreak()

    async def outcomes(self, changes: Sequence[Change]) -> AsyncGenerator[Outcome, None]:
        """Yield one outcome for each change, in order; a batch is verified before any of it is told."""
        for batch in self._batches(changes):
            outcomes = [
                outcome
                for portion in self._portions(batch)
                for outcome in await self._written(portion)
            ]
            if self._options.verify:
                outcomes = await self._verified(outcomes)
                outcomes = await self._prober.judge(outcomes)
            for outcome in outcomes:
                self._fallout.record(outcome)
                self._absence.note(outcome)
                yield outcome

    async def _written(self, portion: Sequence[Change]) -> list[Outcome]:
        prepared = [self._prepared(change) for change in portion]
        written = iter(await self._apply([item for item in prepared if isinstance(item, Write)]))
        return [item if isinstance(item, Outcome) else next(written) for item in prepared]

    def _portions(self, batch: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Cut a batch so that secrets and bodies of a few hundred objects are in memory, not of all."""
        size = len(batch) if self._is_document else PORTION
        for start in range(0, len(batch), max(size, 1)):
            yield batch[start : start + size]

    def _batches(self, changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Cut a plan where one change must wait for another; a document takes it whole."""
        if self._is_document:
            yield changes
            return
        for rank in ranks(changes):
            yield [changes[index] for index in rank]

    def _prepared(self, change: Change) -> Write | Outcome:
        """Return what to write, or the outcome of what is not written."""
        item = (
            self._held(change)
            or self._fallout.blocked(change)
            or self._absence.given_up(change)
            or self._resolved(change)
        )
        if isinstance(item, Outcome):
            self._fallout.record(item)
        return item

    def _held(self, change: Change) -> Outcome | None:
        if change.key not in self._options.held:
            return None
        return Outcome(change, Status.BLOCKED, "Held", "waits until a person forces it", attempts=0)

    def _resolved(self, change: Change) -> Write | Outcome:
        if change.action is Action.DELETE or change.resource is None:
            return Write(change, None)
        try:
            spec = self._resolve(change.resource)
        except SecretUnresolved as error:
            return failure(change, error.reason, str(error), attempts=0)
        except Exception as error:  # noqa: BLE001  # the boundary
            return failure(change, "InternalError", defect(error), attempts=0)
        # Empty rather than None: we looked, and it was not there.
        gateway_id = change.observed.gateway_id if change.observed else ""
        return Write(change, replace(spec, gateway_id=gateway_id))

    async def _apply(self, writes: Sequence[Write]) -> list[Outcome]:
        """Hand writes to the adapter; whatever it says nothing about has failed."""
        if not writes:
            return []
        said: dict[int, Outcome] = {}
        message, reason = "the adapter said nothing about this change", "InternalError"
        seconds = self._options.document_seconds if self._is_document else None
        try:
            async with asyncio.timeout(seconds):
                async for outcome in self._adapter.apply(writes, self._options.pace):
                    said[id(outcome.change)] = outcome
        except TimeoutError:
            message, reason = (
                f"the gateway did not finish within {seconds:g} s",
                "GatewayUnreachable",
            )
        except StoaGitopsError as error:
            message, reason = str(error), error.reason
        except Exception as error:  # noqa: BLE001  # the boundary
            message = defect(error)
        return [said.get(id(w.change)) or failure(w.change, reason, message) for w in writes]

    async def _verified(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Read the written kinds back; what cannot be read back stays as it is, with a warning."""
        kinds = {o.change.key.kind for o in outcomes if o.status is Status.APPLIED}
        readable = sorted(kinds & {API, POLICY, APPLICATION})
        if not readable:
            return outcomes
        try:
            seen = observed_objects(_concerned(await self._read(readable), outcomes), {})
            return judge(outcomes, seen, self._rules)
        except StoaGitopsError as error:
            said = str(error)
        except Exception as error:  # noqa: BLE001  # the boundary
            said = defect(error)
        return [_doubted(outcome, said) for outcome in outcomes]


def _concerned(lists: Sequence[Items], outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Yield what was read of the objects that were written: making objects of all 30,000 takes half a second."""
    keys = {(o.change.key.kind, o.change.key.tenant, o.change.key.name) for o in outcomes}
    ids = {outcome.gateway_id for outcome in outcomes} - {""}
    for item in chain.from_iterable(lists):
        at = item.get("kind"), item.get("tenant"), item.get("name")
        if at in keys or item.get("gateway_id") in ids:
            yield item


def _doubted(outcome: Outcome, said: str) -> Outcome:
    """The write was acknowledged; only the look at it was not possible."""
    if outcome.status is not Status.APPLIED:
        return outcome
    return replace(outcome, warnings=(*outcome.warnings, f"could not be read back: {said}"))
