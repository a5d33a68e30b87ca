"""Two hundred SIGKILLs at random moments of a process that always has changes to make."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stoa_gitops.store.sqlite import BlockingStore
from tests.crash.world import BACKEND, LIMIT, SECRETS, World
from tests.e2e.gateways import data_plane
from tests.e2e.running import environment

KILLS = 200
CHECK_EVERY = 20
LONGEST = 0.6
"""Seconds from the fork to the kill: on an idle machine a whole cycle takes about half of that."""

BOUND = 3600.0


class ForkServer:
    """Forks processes of the command line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def fork(self, arguments: list[str], log: Path) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([arguments, str(log)]).encode() + b"\n")
        await self._process.stdin.drain()
        return int(await asyncio.wait_for(self._process.stdout.readline(), 120))


@contextlib.asynccontextmanager
async def fork_server() -> AsyncIterator[ForkServer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.crash.fork_server",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(**SECRETS),
    )
    try:
        yield ForkServer(process)
    finally:
        process.terminate()
        await process.wait()


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


def end(pid: int) -> None:
    """Kill, and wait until the process is gone: its parent leaves no zombies."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def gone(pid: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{pid} does not end")


def cycles_in(state: Path) -> int:
    """Return how many cycles were recorded."""
    with BlockingStore.open(state) as store:
        (newest,) = store.list_cycles("local", limit=1)
        return newest.id


async def measure_cycle(children: ForkServer, arguments: list[str], world: World) -> float:
    """Return how long a process takes now, from the fork to the end of its first cycle."""
    began, before = time.monotonic(), cycles_in(world.state)
    pid = await children.fork(arguments, world.state.with_name("child.log"))
    while cycles_in(world.state) == before:
        assert time.monotonic() - began < BOUND, "no cycle ends"
        await asyncio.sleep(0.01)
    end(pid)
    await gone(pid)
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
    async with data_plane() as gateway, fork_server() as children:
        world = await World.make(gateway, tmp_path)
        long_running = [argument for argument in world.arguments() if argument != "--once"]
        await world.start_again()
        for number in range(1, KILLS + 1):
            edit(world, dice)
            if number % CHECK_EVERY == 1:
                # A busy machine takes longer for a cycle, and kills are to come in all its parts.
                longest = max(LONGEST, 2 * await measure_cycle(children, long_running, world))
            pid = await children.fork(long_running, tmp_path / "child.log")
            moment = dice.uniform(0, longest)
            if dice.random() < 0.3:  # while it works, not only while it starts
                await asyncio.sleep(moment / 2)
                edit(world, dice)
                moment /= 2
            await asyncio.sleep(moment)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 0)
                alive_at_the_kill += 1
            end(pid)
            await gone(pid)
            if number % CHECK_EVERY == 0:
                await world.start_again()
                await world.check()
            assert time.monotonic() - began < BOUND, f"{number} kills took too long"
        cycles = cycles_in(world.state)
    assert alive_at_the_kill == KILLS, (tmp_path / "child.log").read_text()
    # many were killed after they had written something, and not only while they started
    assert cycles > KILLS / 4
