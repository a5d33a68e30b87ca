"""Writes several objects as one change (`POST /admin/batch`, extension `batch`).

An API is written with its policies and its applications' rights, so that no request meets a mixture
of two states. What the gateway refuses is set aside together with the unit that it belongs to, and
the rest is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from stoa_gitops.adapter_sdk.blocking import REFUSALS, blocked_by, outcome_of
from stoa_gitops.adapter_sdk.contract import AdapterResult, ObjectSpec, Write, WriteLimits
from stoa_gitops.adapter_sdk.results import failure, internal_error, ok, unsupported
from stoa_gitops.adapter_sdk.units import Unit, split_units
from stoa_gitops.adapters.stoa import mappers, rules
from stoa_gitops.adapters.stoa.client import CONSUMERS, POLICIES, ROUTES, StoaClient
from stoa_gitops.adapters.stoa.rules import Extensions
from stoa_gitops.errors import GatewayRefused, StoaGitopsError
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.secret import Value

MOST_BYTES: Final = 3_500_000
"""Of one call: our data plane takes bodies of 4 MiB (`Config.max_admin_body`)."""

CALL_BYTES: Final = 250_000
"""Of several units in one call: a gateway that reads megabytes at once answers nobody meanwhile."""

_COLLECTIONS: Mapping[str, str] = {API: ROUTES, POLICY: POLICIES}


@dataclass(frozen=True, slots=True)
class Part:
    """What one write puts and removes; `resource_id` is what the gateway calls the object then."""

    collection: str
    puts: tuple[Mapping[str, Value], ...] = ()
    removes: tuple[str, ...] = ()
    resource_id: str = ""

    @property
    def size(self) -> int:
        """About how many bytes it has in a call."""
        return sum(len(repr(body)) for body in self.puts)

    @property
    def ids(self) -> set[str]:
        """The ids of everything that it touches."""
        return {*(str(body["id"]) for body in self.puts), *self.removes}


async def write_batch(
    client: StoaClient, writes: Sequence[Write], extensions: Extensions, limits: WriteLimits
) -> list[Outcome]:
    """Write as one change what can be written; return one outcome for each write, in order.

    A unit with an object that is refused, here or by the gateway, is left as it was.
    """
    parts: dict[int, Part] = {}
    refused: dict[int, AdapterResult] = {}
    for write in writes:
        part = _part_or_refusal(write, extensions)
        if isinstance(part, Part):
            parts[id(write.change)] = part
        else:
            refused[id(write.change)] = part
    batch = _Batch(client, parts, limits)
    await batch.write([write.change for write in writes], refused)
    return [batch.outcomes[id(write.change)] for write in writes]


class _Batch:
    """Changes that go out together as far as the gateway takes them.

    outcomes  by the identity of changes
    """

    def __init__(self, client: StoaClient, parts: Mapping[int, Part], limits: WriteLimits) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self._client, self._parts, self._limits = client, parts, limits
        # What was not written, each with what is wrong: whatever needs it waits.
        self._roots: dict[Key, Key] = {}

    async def write(self, changes: Sequence[Change], refused: Mapping[int, AdapterResult]) -> None:
        """Write changes, without the units of those that are refused already."""
        left = self._set_aside(changes, {**refused, **self._too_large(changes)})
        while left:
            units = split_units(left) if self._size(left) > CALL_BYTES else []
            if len(units) > 1:
                await self._write_halves(units)
                return
            sent = {id(change): self._parts[id(change)] for change in left}
            result = await _send(self._client, list(sent.values()), self._limits)
            if isinstance(result, set):
                named = {
                    id(change): failure(GatewayRefused("; ".join(reasons)))
                    for change in left
                    if (reasons := _reasons(result, sent[id(change)]))
                }
                if named:
                    left = self._set_aside(left, named)
                    continue
                result = failure(GatewayRefused("; ".join(sorted(text for *_, text in result))))
            await self._finish(left, result)
            return

    async def _finish(self, changes: Sequence[Change], result: AdapterResult) -> None:
        """Give changes the result of one call, or find out which of them it is about."""
        units = split_units(changes)
        if result.success or result.reason not in REFUSALS or len(units) == 1:
            for change in changes:
                done = ok(self._parts[id(change)].resource_id) if result.success else result
                self.outcomes[id(change)] = outcome_of(change, done)
                if not result.success:
                    self._roots[change.key] = change.key
            return
        # One that is refused without a word says nothing about others.
        await self._write_halves(units)

    async def _write_halves(self, units: Sequence[Unit]) -> None:
        middle = len(units) // 2
        for half in (units[:middle], units[middle:]):
            await self.write(list(chain.from_iterable(half)), {})

    def _size(self, changes: Iterable[Change]) -> int:
        return sum(self._parts[id(c)].size for c in changes if id(c) in self._parts)

    def _too_large(self, changes: Sequence[Change]) -> Mapping[int, AdapterResult]:
        """Return refusals of units that fit into no call, each of its largest object."""
        if self._size(changes) <= MOST_BYTES:
            return {}
        found: dict[int, AdapterResult] = {}
        for unit in split_units(changes):
            size = self._size(unit)
            if size > MOST_BYTES:
                largest = max(unit, key=lambda change: self._size([change]))
                text = f"takes {size:,} bytes with what belongs to it; a call has {MOST_BYTES:,}"
                found[id(largest)] = failure(GatewayRefused(text))
        return found

    def _set_aside(
        self, left: Sequence[Change], refused: Mapping[int, AdapterResult]
    ) -> list[Change]:
        """Return the changes of units without a refusal; give the others their outcomes."""
        if not refused and not self._roots:
            return list(left)
        kept: list[Change] = []
        roots = self._roots
        for unit in split_units(left):
            bad = [change for change in unit if id(change) in refused]
            root = bad[0].key if bad else next((roots[k] for k in _needs(unit) if k in roots), None)
            if root is None:
                kept += unit
                continue
            for change in unit:
                roots[change.key] = root
                result = refused.get(id(change))
                self.outcomes[id(change)] = (
                    outcome_of(change, result) if result else blocked_by(change, root)
                )
        return kept


def _part_or_refusal(write: Write, extensions: Extensions) -> Part | AdapterResult:
    try:
        return part_of(write, extensions)
    except StoaGitopsError as error:
        return failure(error)
    except Exception as error:  # noqa: BLE001  # one object must not end the whole apply
        return internal_error(error)


def part_of(write: Write, extensions: Extensions) -> Part | AdapterResult:
    """Return what a write puts and removes, or why the gateway cannot hold it.

    Raises SecretUnresolved.
    """
    change, spec = write.change, write.spec
    collection = _COLLECTIONS.get(change.key.kind, CONSUMERS)
    observed_id = change.observed.gateway_id if change.observed else ""
    old = mappers.split_ids(observed_id) if collection == ROUTES else [observed_id]
    if spec is None or change.action is Action.DELETE:
        return Part(collection, removes=tuple(filter(None, old)), resource_id=observed_id)
    reason = rules.refusal_of(change.key.kind, spec.value, extensions)
    if reason:
        return unsupported(f"this gateway has no {reason}")
    bodies = _bodies(collection, spec, extensions)
    ids = [str(body["id"]) for body in bodies]
    stale = tuple(one for one in old if one and one not in ids)
    resource_id = mappers.join_ids(ids) if collection == ROUTES else ids[0]
    return Part(collection, bodies, stale, resource_id)


def _bodies(
    collection: str, spec: ObjectSpec, extensions: Extensions
) -> tuple[Mapping[str, Value], ...]:
    if collection == ROUTES:
        return tuple(mappers.routes_of(spec, spec.key.tenant, extensions))
    if collection == POLICIES:
        return (mappers.policy_of(spec),)
    return (mappers.consumer_of(spec),)


def _needs(unit: Sequence[Change]) -> list[Key]:
    return [key for change in unit for key in change.depends_on]


Refusals = set[tuple[str, str, str]]
"""Collection, id and reason of each object that a gateway refused."""


async def _send(
    client: StoaClient, parts: Sequence[Part], limits: WriteLimits
) -> AdapterResult | Refusals:
    """Send one batch; return what the gateway refused of it, else the result for all of it."""
    puts: dict[str, dict[str, Value]] = {}
    removes: dict[str, list[str]] = {}
    for part in parts:
        # An application that exchanges credentials is written twice: the last form counts.
        puts.setdefault(part.collection, {}).update({str(body["id"]): body for body in part.puts})
    for part in parts:
        # An object that goes under one key and comes under another is put.
        gone = [one for one in part.removes if one not in puts[part.collection]]
        removes.setdefault(part.collection, []).extend(gone)
    bodies = {collection: list(by_id.values()) for collection, by_id in puts.items()}
    try:
        async with asyncio.timeout(limits.write_seconds):
            return await client.change(bodies, removes) or ok()
    except TimeoutError:
        message = f"the gateway did not finish within {limits.write_seconds:g} s"
        return AdapterResult(success=False, data={"reason": "GatewayUnreachable"}, error=message)
    except StoaGitopsError as error:
        return failure(error)
    except Exception as error:  # noqa: BLE001  # only cancellation may leave this boundary
        return internal_error(error)


def _reasons(refusals: Refusals, part: Part) -> list[str]:
    return sorted(
        text
        for collection, object_id, text in refusals
        if collection == part.collection and object_id in part.ids
    )
