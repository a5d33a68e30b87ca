"""Executes one plan on one gateway: batches in order, secrets resolved late, one outcome each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from stoa_gitops.adapter_sdk.apply_each import UnreachableStreak, ranks
from stoa_gitops.adapter_sdk.blocking import FailedDependencies, blocked_by, failed_outcome
from stoa_gitops.adapter_sdk.capabilities import Granularity, Rules
from stoa_gitops.adapter_sdk.contract import (
    GatewayAdapter,
    ListItem,
    ObjectSpec,
    Write,
    WriteLimits,
)
from stoa_gitops.adapter_sdk.observation import Items, observed_objects
from stoa_gitops.adapter_sdk.results import internal_error_message
from stoa_gitops.adapter_sdk.units import pack, split_units
from stoa_gitops.drivers.route_probe import AGAIN, NOT_PROBED, Prober
from stoa_gitops.drivers.verification import verify
from stoa_gitops.errors import SecretUnresolved, StoaGitopsError
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import Resource
from stoa_gitops.secrets.tls_material import find_tls_flaws

# Bounds the memory for resolved secrets and request bodies: a plan may have 30,000 changes.
PORTION = 500
"""Changes that are resolved and written at a time."""

VERIFIED_AGAIN: Final = "its routes did not answer before, and are called again"
"""Reason of changes that write nothing."""

Resolve = Callable[[Resource], ObjectSpec]
"""Replaces secret references by values; raises SecretUnresolved. May block for milliseconds."""

ReadKinds = Callable[[Sequence[str]], Awaitable[Sequence[Items]]]
"""Reads the objects of some kinds, one list for each; raises GatewayError."""


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How to execute a plan.

    held              keys that wait for a person's force
    limits            concurrency and time of writes
    document_seconds  time for a whole document
    verify            read back what was written
    public_url        where consumers call the gateway, for probes; empty: no probes
    as_archive        write everything as one archive
    waiting           what the catalog wants and the plan leaves as it is
    """

    held: frozenset[Key] = frozenset()
    limits: WriteLimits = field(default_factory=WriteLimits)
    document_seconds: float = 300.0
    verify: bool = True
    public_url: str = ""
    as_archive: bool = False
    waiting: Sequence[Resource] = ()


class Execution:
    """One run of a plan; the caller holds the writer's lock."""

    def __init__(
        self,
        adapter: GatewayAdapter,
        rules: Rules,
        read_kinds: ReadKinds,
        resolve: Resolve,
        options: ExecutionOptions,
    ) -> None:
        self._adapter = adapter
        self._rules = rules
        self._read_kinds = read_kinds
        self._resolve = resolve
        self._options = options
        self._is_document = adapter.granularity is Granularity.DOCUMENT
        self._is_unit = adapter.granularity is Granularity.UNIT
        self._prober = Prober(options.public_url)
        self._failed, self._streak = FailedDependencies(), UnreachableStreak()
        self._written: set[tuple[str, str]] = set()

    async def apply(self, changes: Sequence[Change]) -> AsyncGenerator[list[Outcome], None]:
        """Write the changes and yield the outcomes of each batch, in order.

        Hand each batch to `verify` before the next one is written: what failed blocks dependants.
        """
        held = {change.key for change in changes if self._held_outcome(change) is not None}
        self._adapter.note_plan([change for change in changes if change.key not in held])
        wanted = [one.resource for one in changes if one.key in held and one.resource is not None]
        self._adapter.note_waiting([*self._options.waiting, *wanted])
        for batch in self._batches(changes):
            outcomes: list[Outcome] = []
            for portion in await asyncio.to_thread(self._portions, batch):
                written = await self._write_portion(portion)
                self._written |= {
                    (outcome.change.key.kind, outcome.gateway_id)
                    for outcome in written
                    if outcome.status is Status.APPLIED
                }
                if self._is_unit:
                    # Units of one batch may wait for each other. One call was made for all.
                    for outcome in written:
                        self._failed.add_outcome(outcome)
                    self._streak.count_outcome(written[-1])
                outcomes += written
            if self._is_unit:
                order = {id(change): index for index, change in enumerate(batch)}
                outcomes.sort(key=lambda outcome: order[id(outcome.change)])
            yield outcomes

    async def verify(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Read a batch back and probe its routes; APPLIED becomes FAILED if that shows it."""
        if self._options.verify:
            outcomes = await self._read_back(outcomes)
            outcomes = await self._prober.check(outcomes)
        for outcome in outcomes:
            self._failed.add_outcome(outcome)
            self._streak.count_outcome(outcome)
        return outcomes

    async def verify_again(self, resources: Sequence[Resource]) -> list[Outcome]:
        """Call the routes of objects that are live and did not answer before; writes nothing.

        UNCHANGED is one that answers now, BLOCKED one that does not; those for which there was no
        time have no outcome.
        """
        if not resources:
            return []
        changes = [
            Change(Action.UPDATE, r.key, resource=r, reason=VERIFIED_AGAIN) for r in resources
        ]
        live = [Outcome(change, Status.APPLIED, attempts=0) for change in changes]
        prober = Prober(self._options.public_url, AGAIN)
        return [
            replace(
                outcome,
                status=Status.UNCHANGED if outcome.status is Status.APPLIED else Status.BLOCKED,
            )
            for outcome in await prober.check(live)
            if outcome.reason != NOT_PROBED
        ]

    async def _write_portion(self, portion: Sequence[Change]) -> list[Outcome]:
        prepared = [self._prepare(change) for change in portion]
        if self._is_unit:
            prepared = self._block_units(portion, prepared)
        written = iter(await self._apply([item for item in prepared if isinstance(item, Write)]))
        return [item if isinstance(item, Outcome) else next(written) for item in prepared]

    def _portions(self, batch: Sequence[Change]) -> list[Sequence[Change]]:
        if self._options.as_archive:
            return [batch] if batch else []
        if self._is_unit:
            return list(pack(split_units(batch)))
        # A document is written as a whole, so all of it is in memory anyway.
        size = len(batch) if self._is_document else PORTION
        return [batch[start : start + size] for start in range(0, len(batch), max(size, 1))]

    def _batches(self, changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Split a plan where one change must wait for another.

        Documents are written whole, and units are sets of changes that need not wait.
        """
        if self._is_document or self._is_unit or self._options.as_archive:
            yield changes
            return
        for rank in ranks(changes):
            yield [changes[index] for index in rank]

    def _prepare(self, change: Change) -> Write | Outcome:
        """Return what to write, or the outcome of a change that is not written."""
        item = (
            self._held_outcome(change)
            or self._failed.blocked_outcome(change)
            or self._spared_outcome(change)
            or self._streak.skipped_outcome(change)
            or self._resolve_change(change)
        )
        if isinstance(item, Outcome):
            self._failed.add_outcome(item)
        return item

    def _block_units(
        self, portion: Sequence[Change], prepared: Sequence[Write | Outcome]
    ) -> list[Write | Outcome]:
        """Block what is one change with something that failed.

        What is held blocks nothing, and neither does an application: a key of one caller that leads
        nowhere is no reason to keep an API from all others.
        """
        roots: dict[int, Key] = {}
        failed = {
            id(item.change)
            for item in prepared
            if isinstance(item, Outcome)
            and item.reason != "Held"
            and item.change.key.kind != APPLICATION
        }
        for unit in split_units(portion) if failed else ():
            bad = next((change.key for change in unit if id(change) in failed), None)
            if bad is not None:
                roots |= {id(change): bad for change in unit}
        blocked = [
            blocked_by(item.change, roots[id(item.change)])
            if isinstance(item, Write) and id(item.change) in roots
            else item
            for item in prepared
        ]
        for item in blocked:
            if isinstance(item, Outcome):
                self._failed.add_outcome(item)
        return blocked

    def _held_outcome(self, change: Change) -> Outcome | None:
        if change.key not in self._options.held:
            return None
        return Outcome(change, Status.BLOCKED, "Held", "waits until a person forces it", attempts=0)

    def _spared_outcome(self, change: Change) -> Outcome | None:
        """Return the outcome of a deletion by an id that was written before in this run.

        Somebody renamed the object on the gateway: it was read as two, and is one again.
        """
        seen = change.observed
        if change.action is not Action.DELETE or seen is None:
            return None
        if (change.key.kind, seen.gateway_id) not in self._written:
            return None
        return Outcome(change, Status.APPLIED, attempts=0)

    def _resolve_change(self, change: Change) -> Write | Outcome:
        if change.action is Action.DELETE or change.resource is None:
            return Write(change, None)
        try:
            spec = self._resolve(change.resource)
        except SecretUnresolved as error:
            return failed_outcome(change, error.reason, str(error), attempts=0)
        except Exception as error:  # noqa: BLE001  # one object must not end the whole apply
            message = internal_error_message(error)
            return failed_outcome(change, "InternalError", message, attempts=0)
        # Empty rather than None: the gateway was observed, and the object was absent.
        gateway_id = change.observed.gateway_id if change.observed else ""
        return Write(change, replace(spec, gateway_id=gateway_id))

    async def _apply(self, writes: Sequence[Write]) -> list[Outcome]:
        """Hand writes to the adapter; a write without an outcome has failed."""
        if not writes:
            return []
        # By identity: the same key may be deleted and created in one plan.
        outcomes: dict[int, Outcome] = {}
        message, reason = "the adapter returned no outcome for this change", "InternalError"
        options = self._options
        is_whole = self._is_document or options.as_archive
        seconds = options.document_seconds if is_whole else None
        apply = self._adapter.apply_archive if options.as_archive else self._adapter.apply
        try:
            async with asyncio.timeout(seconds):
                async for outcome in apply(writes, options.limits):
                    outcomes[id(outcome.change)] = outcome
        except TimeoutError:
            message = f"the gateway did not finish within {seconds:g} s"
            reason = "GatewayUnreachable"
        except StoaGitopsError as error:
            message, reason = str(error), error.reason
        except Exception as error:  # noqa: BLE001  # an adapter that breaks its contract
            message = internal_error_message(error)
        return [
            _with_dates(
                outcomes.get(id(write.change)) or failed_outcome(write.change, reason, message),
                write,
            )
            for write in writes
        ]

    async def _read_back(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Read the written kinds back; what cannot be read back stays APPLIED, with a warning."""
        written = {o.change.key.kind for o in outcomes if o.status is Status.APPLIED}
        methods = self._adapter.methods()
        readable = [k for k in sorted(written) if k in methods and methods[k].list is not None]
        if not readable:
            return outcomes
        # Units are written in one batch. Kind after kind, all of it is never in memory at once.
        parts = [[kind] for kind in readable] if self._is_unit else [readable]
        for kinds in parts:
            outcomes = await self._read_kinds_back(outcomes, kinds)
        return outcomes

    async def _read_kinds_back(
        self, outcomes: list[Outcome], kinds: Sequence[str]
    ) -> list[Outcome]:
        try:
            lists = await self._read_kinds(kinds)
            # On a thread: 10,000 written APIs would keep the loop for 2 s.
            return await asyncio.to_thread(self._compare, lists, outcomes, kinds)
        except StoaGitopsError as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001  # the write happened: its outcome must not be lost
            message = internal_error_message(error)
        return [
            _with_doubt(outcome, message) if outcome.change.key.kind in kinds else outcome
            for outcome in outcomes
        ]

    def _compare(
        self, lists: Sequence[Items], outcomes: Sequence[Outcome], kinds: Sequence[str]
    ) -> list[Outcome]:
        seen = observed_objects(_written_items(lists, outcomes), {})
        return verify(outcomes, seen, kinds, self._rules)


def _written_items(lists: Sequence[Items], outcomes: Sequence[Outcome]) -> Iterator[ListItem]:
    """Yield the items of objects that were written; converting all of 30,000 takes 0.5 s."""
    keys = {(o.change.key.kind, o.change.key.tenant, o.change.key.name) for o in outcomes}
    ids = {outcome.gateway_id for outcome in outcomes} - {""}
    for item in chain.from_iterable(lists):
        key = item.get("kind"), item.get("tenant"), item.get("name")
        if key in keys or item.get("gateway_id") in ids:
            yield item


def _with_dates(outcome: Outcome, write: Write) -> Outcome:
    """Add a warning for each certificate of an API that has ended, or has not begun."""
    backend = write.spec.value.get("backend") if write.spec is not None else None
    if outcome.status is not Status.APPLIED or not isinstance(backend, Mapping):
        return outcome
    found = [flaw for flaw in find_tls_flaws(backend, datetime.now(UTC)) if flaw.is_partial]
    warnings = (f"{write.change.key}: {flaw.message}; backends refuse it" for flaw in found)
    return replace(outcome, warnings=(*outcome.warnings, *warnings)) if found else outcome


def _with_doubt(outcome: Outcome, message: str) -> Outcome:
    """Add a warning: the write was acknowledged, only reading it back failed."""
    if outcome.status is not Status.APPLIED:
        return outcome
    return replace(outcome, warnings=(*outcome.warnings, f"could not be read back: {message}"))
