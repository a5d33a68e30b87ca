"""Writes several objects as one change (`POST /admin/batch`, extension `batch`).

An API is written with its policies and its applications' rights, so that no request meets a mixture
of two states. What the gateway refuses is set aside together with the unit that it belongs to, and
the rest is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoa_gitops.adapter_sdk.blocking import blocked_by, outcome_of
from stoa_gitops.adapter_sdk.contract import AdapterResult, ObjectSpec, Write, WriteLimits
from stoa_gitops.adapter_sdk.results import failure, internal_error, ok, unsupported
from stoa_gitops.adapter_sdk.units import split_units
from stoa_gitops.adapters.stoa import mappers, rules
from stoa_gitops.adapters.stoa.client import CONSUMERS, POLICIES, ROUTES, StoaClient
from stoa_gitops.adapters.stoa.rules import Extensions
from stoa_gitops.errors import GatewayRefused, StoaGitopsError
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.secret import Value

_COLLECTIONS: Mapping[str, str] = {API: ROUTES, POLICY: POLICIES}


@dataclass(frozen=True, slots=True)
class Part:
    """What one write puts and removes; `resource_id` is what the gateway calls the object then."""

    collection: str
    puts: tuple[Mapping[str, Value], ...] = ()
    removes: tuple[str, ...] = ()
    resource_id: str = ""

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
    outcomes: dict[int, Outcome] = {}
    parts: dict[int, Part] = {}
    refused: dict[int, AdapterResult] = {}
    for write in writes:
        part = _part_or_refusal(write, extensions)
        if isinstance(part, Part):
            parts[id(write.change)] = part
        else:
            refused[id(write.change)] = part
    left = [write.change for write in writes]
    while left:
        left = _set_aside(left, refused, outcomes)
        if not left:
            break
        sent = {id(change): parts[id(change)] for change in left}
        result = await _send(client, list(sent.values()), limits)
        if isinstance(result, set):
            refused = {
                id(change): failure(GatewayRefused("; ".join(reasons)))
                for change in left
                if (reasons := _reasons(result, sent[id(change)]))
            }
            if refused:
                continue
            result = failure(GatewayRefused("; ".join(sorted(text for *_, text in result))))
        for change in left:
            done = ok(sent[id(change)].resource_id) if result.success else result
            outcomes[id(change)] = outcome_of(change, done)
        break
    return [outcomes[id(write.change)] for write in writes]


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


def _set_aside(
    left: Sequence[Change], refused: Mapping[int, AdapterResult], outcomes: dict[int, Outcome]
) -> list[Change]:
    """Return the changes of units without a refusal; give the others their outcomes."""
    if not refused:
        return list(left)
    kept: list[Change] = []
    roots: dict[Key, Key] = {}
    for unit in split_units(left):
        bad = [change for change in unit if id(change) in refused]
        root = bad[0].key if bad else next((roots[k] for k in _needs(unit) if k in roots), None)
        if root is None:
            kept += unit
            continue
        for change in unit:
            roots[change.key] = root
            result = refused.get(id(change))
            outcomes[id(change)] = (
                outcome_of(change, result) if result else blocked_by(change, root)
            )
    return kept


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
