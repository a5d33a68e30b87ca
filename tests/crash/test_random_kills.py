"""Two hundred SIGKILLs at random moments of a process that always has changes to make."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path

import pytest

from stoa_gitops.store.sqlite import BlockingStore
from tests.children import Child, environment, fork
from tests.crash.world import BACKEND, LIMIT, SECRETS, World
from tests.e2e.gateways import data_plane

KILLS = 200
CHECK_EVERY = 20
LONGEST = 0.6
"""Seconds from the fork to the kill: on an idle machine a whole cycle takes about half of that."""

BOUND = 3600.0


def start(arguments: list[str], log: Path) -> Child:
    with log.open("wb") as said:
        return fork("stoa_gitops", *arguments, env=environment(**SECRETS), stdout=said, stderr=said)


def edit(world: World, dice: random.Random) -> None:
    """Change the catalog: some APIs come, go or change, with and without a policy."""
    for _ in range(dice.randint(1, 4)):
        name = f"api-{dice.randint(0, 7)}"
        file = world.catalog.root / f"tenants/acme/apis/{name}/api.yaml"
        if file.exists() and dice.random() < 0.3:
            file.unlink()
        else:
            policy = LIMIT % dice.randint(1, 99) if dice.random() < 0.5 else ""
            world.catalog.api(name, f"{BACKEND}/{dice.randint(1, 999)}", policy)


async def end(child: Child) -> None:
    """Kill, and wait until the process is gone."""
    child.kill()
    await asyncio.wait_for(child.wait(), 120)


def cycles_in(state: Path) -> int:
    """Return how many cycles were recorded."""
    with BlockingStore.open(state) as store:
        (newest,) = store.list_cycles("local", limit=1)
        return newest.id


async def measure_cycle(arguments: list[str], world: World) -> float:
    """Return how long a process takes now, from the fork to the end of its first cycle."""
    began, before = time.monotonic(), cycles_in(world.state)
    # Edits at random may undo each other, and a cycle without a change is not recorded.
    world.catalog.api("measured", f"{BACKEND}/after/{before}")
    child = start(arguments, world.state.with_name("child.log"))
    while cycles_in(world.state) == before:
        assert time.monotonic() - began < BOUND, "no cycle ends"
        await asyncio.sleep(0.01)
    await end(child)
    return time.monotonic() - began


@pytest.mark.heavy
async def test_two_hundred_kills_at_random_moments_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    sys.stdout.write(f"CRASH_SEED={seed}\n")
    dice = random.Random(seed)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    alive_at_the_kill = 0
    async with data_plane() as gateway:
        world = await World.make(gateway, tmp_path)
        long_running = [argument for argument in world.arguments() if argument != "--once"]
        await world.start_again()
        for number in range(1, KILLS + 1):
            edit(world, dice)
            if number % CHECK_EVERY == 1:
                # A busy machine takes longer for a cycle, and kills are to come in all its parts.
                longest = max(LONGEST, 2 * await measure_cycle(long_running, world))
            child = start(long_running, tmp_path / "child.log")
            moment = dice.uniform(0, longest)
            if dice.random() < 0.3:  # while it works, not only while it starts
                await asyncio.sleep(moment / 2)
                edit(world, dice)
                moment /= 2
            await asyncio.sleep(moment)
            alive_at_the_kill += child.returncode is None
            await end(child)
            if number % CHECK_EVERY == 0:
                await world.start_again()
                await world.check()
            assert time.monotonic() - began < BOUND, f"{number} kills took too long"
        cycles = cycles_in(world.state)
    assert alive_at_the_kill == KILLS, (tmp_path / "child.log").read_text()
    # many were killed after they had written something, and not only while they started
    assert cycles > KILLS / 4
