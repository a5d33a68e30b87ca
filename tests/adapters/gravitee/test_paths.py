"""Paths that change hands: Gravitee has one API at a path (contract gravitee.md R.1 row 13)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import DesiredState, PlanHints
from stoa_gitops.planning.inputs import PlanContext
from stoa_gitops.planning.planner import plan_gateway
from tests.adapters.front import Trouble
from tests.adapters.gravitee.testbed import CLASSIC, Bed, bed
from tests.contract.rig import NOW, api, resource

A, B, C = (Key("api", "acme", name) for name in "abc")
VERSIONS = {"automation": ("4.12.12", {}), "classic": ("4.1.0", CLASSIC)}


def at(key: Key, path: str, **more: Any) -> dict[str, Any]:
    route = {"path": path, "methods": [], "hosts": [], "stripPath": True}
    return api(key.name, routes=[route], **more)


def paths(here: Bed) -> dict[str, str]:
    return {
        one.spec["name"]: one.spec["listeners"][0]["paths"][0]["path"]
        for one in here.double.store.apis.values()
    }


@pytest.mark.parametrize("way", VERSIONS)
async def test_two_apis_exchange_their_paths(way: str) -> None:
    version, options = VERSIONS[way]
    async with bed(version, **options) as here:
        await here.rig.converge({A: at(A, "/one"), B: at(B, "/two")})
        outcomes = await here.rig.converge({A: at(A, "/two"), B: at(B, "/one")})
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        assert paths(here) == {"A": "/two/", "B": "/one/"}


async def test_three_apis_pass_their_paths_on_in_a_circle_and_one_leaves_its_path_first() -> None:
    async with bed() as here:
        await here.rig.converge({A: at(A, "/a"), B: at(B, "/b"), C: at(C, "/c/below")})
        here.writes()
        wanted = {A: at(A, "/b"), B: at(B, "/c"), C: at(C, "/a")}
        outcomes = await here.rig.converge(wanted)
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        assert paths(here) == {"A": "/b/", "B": "/c/", "C": "/a/"}
        assert here.writes() == ["PUT automation/apis"] * 4
        assert (await here.rig.plan(wanted)).is_empty


async def test_an_exchange_that_fails_puts_back_what_left_its_path() -> None:
    async with bed() as here:
        await here.rig.converge({A: at(A, "/one"), B: at(B, "/two")})
        plan = await here.rig.plan({A: at(A, "/two"), B: at(B, "/one", version="2")})
        taken = here.api("B")
        taken.spec["properties"] = []  # somebody else's by now: it is not written over
        outcomes = {o.change.key: o for o in await here.rig.execute(plan)}
        assert {o.status for o in outcomes.values()} == {Status.QUARANTINED, Status.BLOCKED}
        assert paths(here) == {"A": "/one/", "B": "/two/"}


async def test_what_waits_for_a_path_is_not_written_while_that_cannot_be_left() -> None:
    async with bed() as here:
        await here.rig.converge({A: at(A, "/one"), B: at(B, "/two")})
        plan = await here.rig.plan({A: at(A, "/two"), B: at(B, "/one")})
        here.rig.fail(Trouble.SERVER_ERROR, "write")
        outcomes = await here.rig.execute(plan)
        # A fault is tried again; a conflict of paths would have been a quarantine.
        assert Status.QUARANTINED not in {o.status for o in outcomes}
        assert paths(here) == {"A": "/one/", "B": "/two/"}
        here.rig.heal()
        await here.rig.converge({A: at(A, "/two"), B: at(B, "/one")})
        assert paths(here) == {"A": "/two/", "B": "/one/"}


async def test_an_exchange_that_was_cut_off_is_finished_by_the_next_cycle() -> None:
    async with bed() as here:
        await here.rig.converge({A: at(A, "/one"), B: at(B, "/two")})
        # As if the process had ended after the first step.
        await here.rig.adapter._apis.interim.park(A, here.api("A").id)  # type: ignore[attr-defined]
        wanted = {A: at(A, "/two"), B: at(B, "/one")}
        plan = await here.rig.plan(wanted)
        assert {change.key for change in plan.changes} == {A, B}
        assert {o.status for o in await here.rig.execute(plan)} == {Status.APPLIED}
        assert paths(here) == {"A": "/two/", "B": "/one/"}


@pytest.mark.parametrize("way", VERSIONS)
async def test_an_api_is_renamed_and_keeps_its_path(way: str) -> None:
    version, options = VERSIONS[way]
    async with bed(version, **options) as here:
        await here.rig.converge({A: at(A, "/one")})
        renamed = replace(resource(B, at(B, "/one")), hints=PlanHints(moved_from=A))
        desired = DesiredState("gravitee", "default", "main@2", {B: renamed})
        gateway = here.rig.driver.plan_input()
        seen = await here.rig.observe()
        plan = plan_gateway(gateway, desired, seen, here.rig.records, PlanContext(NOW))
        assert [change.action for change in plan.changes] == [Action.CREATE, Action.DELETE]
        outcomes = await here.rig.execute(replace(plan, holds=()))
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        assert paths(here) == {"B": "/one/"}
