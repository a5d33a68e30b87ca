"""A list that misses an object takes nothing away, and makes nothing twice.

Kong 3.4.2 has such lists (contract kong.md R.7 no. 45), and the indexes that others search lag
behind their stores. The total beside a list misses the object as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.contract.rig import CRM, Rig, api

Seen = list[tuple[str, str, bool]]

MORE = Key("api", "acme", "more")
ALWAYS = 1_000_000
LOOKS = 12
"""Cycles within which everything is seen: some makes read all of it each tenth time only."""


async def held(rig: Rig) -> Seen:
    """Return all that is seen, with the ids that it has on the gateway."""
    seen = await rig.observe()
    assert seen.is_complete, seen.error
    return sorted((str(one.key), one.gateway_id, one.managed) for one in seen.objects)


async def settle(rig: Rig, specs: dict[Key, dict[str, Any]]) -> None:
    """Converge; nothing is deleted on the way."""
    for _ in range(LOOKS):
        plan = await rig.plan(specs)
        if plan.is_empty and plan.complete:
            return
        assert not [one for one in plan.changes if one.action is Action.DELETE], plan.changes
        await rig.execute(plan)
    assert plan.is_empty, (plan.error, plan.changes)


async def seen_again(rig: Rig, specs: dict[Key, dict[str, Any]], before: Seen) -> Seen:
    """Look until everything is seen as it was before, and converge then; returns what is seen."""
    for _ in range(LOOKS):
        if await held(rig) == before:
            break
        await settle(rig, specs)
    await settle(rig, specs)
    return await held(rig)


async def listed_by(rig: Rig) -> dict[str, str]:
    """Return the ids of all that lists have, with path and name of a list."""
    assert rig.lists is not None
    assert rig.restart is not None
    rig.lists.listed = {}
    await rig.restart()
    await rig.plan(rig.specs)
    found, rig.lists.listed = rig.lists.listed, None
    return dict(sorted(found.items()))


async def try_without(
    rig: Rig, ident: str, specs: dict[Key, dict[str, Any]], *, times: int, is_new: bool
) -> None:
    """Apply two changes while lists miss an object: nothing goes, and the other change is made.

    `is_new`: it is the first that the adapter sees of the gateway.
    """
    assert rig.lists is not None
    assert rig.restart is not None
    if is_new:
        await rig.restart()
    rig.lists.leave_out(ident, times)
    applied: set[Key] = set()
    for _ in range(2):
        plan = await rig.plan(specs)
        assert plan.complete or times == 1, plan.error
        assert not [one for one in plan.changes if one.action is Action.DELETE], plan.changes
        outcomes = await rig.execute(plan) if plan.complete else []
        applied |= {one.change.key for one in outcomes if one.status is Status.APPLIED}
    assert times == 1 or applied & {CRM, MORE}
    rig.lists.heal()


def some_of(listed: Mapping[str, str]) -> dict[str, str]:
    """Return the first and the last object of each list."""
    lists: dict[str, list[str]] = {}
    for ident, name in listed.items():
        lists.setdefault(name, []).append(ident)
    return {one: name for name, idents in lists.items() for one in (idents[0], idents[-1])}


async def try_without_each(
    rig: Rig,
    *,
    times: int,
    is_new: bool,
    choose: Callable[[Mapping[str, str]], Mapping[str, str]] = dict,
) -> None:
    """Leave each object that is listed out of the lists, one after the other."""
    await rig.add_foreign()
    foreign = await rig.foreign_bytes()
    # Of a gateway whose list of plugins misses one, the rig would make another catalog.
    wanted = {**rig.specs, MORE: api("more")}
    await settle(rig, wanted)
    before = await held(rig)
    listed = await listed_by(rig)
    assert listed
    for number, (ident, name) in enumerate(choose(listed).items()):
        specs = {**wanted}
        for key in (CRM, MORE):
            backend = {**specs[key]["backend"], "url": f"https://{key.name}.example/{number}"}
            specs[key] = {**specs[key], "backend": backend}
        await try_without(rig, ident, specs, times=times, is_new=is_new)
        assert await seen_again(rig, specs, before) == before, (ident, name)
        assert await rig.foreign_bytes() == foreign, (ident, name)


async def test_a_list_that_misses_one_object_takes_and_doubles_nothing(rig: Rig) -> None:
    if rig.lists is not None:  # the gateway in memory lists by id
        await try_without_each(rig, times=ALWAYS, is_new=True, choose=some_of)


@pytest.mark.heavy
@pytest.mark.parametrize("is_new", [True, False], ids=["after a restart", "seen before"])
@pytest.mark.parametrize("times", [1, ALWAYS], ids=["once", "for good"])
async def test_no_list_that_misses_one_object_takes_or_doubles_anything(
    rig: Rig, times: int, *, is_new: bool
) -> None:
    if rig.lists is not None:
        await try_without_each(rig, times=times, is_new=is_new)
