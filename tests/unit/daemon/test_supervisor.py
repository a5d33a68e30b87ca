from __future__ import annotations

import asyncio

from stoa_gitops.daemon import supervisor as supervising
from stoa_gitops.daemon.supervisor import Supervisor


class World:
    """A supervisor whose pauses take no time, and what it did."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.pauses: list[float] = []
        self.down: list[tuple[str, ...]] = []
        self.shown: list[float] = []
        self.now = 0.0
        self.supervisor = Supervisor(self.lost.append, self._pause, lambda: self.now)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.down.append(self.supervisor.down)
        (metric,) = self.supervisor.metrics()
        self.shown += [sample.value for sample in metric.samples]
        await asyncio.sleep(0)

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


async def test_a_task_that_fails_begins_again_and_shows_as_down_meanwhile() -> None:
    world, starts = World(), 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts < 3:
            raise RuntimeError("a defect")
        await asyncio.Event().wait()

    world.supervisor.start("watching", work)
    await world.settle()
    assert starts == 3
    assert world.down == [("watching",), ("watching",)]
    assert world.shown == [0.0, 0.0]
    assert world.pauses[0] < world.pauses[1]
    assert world.supervisor.down == ()
    assert world.lost == []
    await world.supervisor.stop()


async def test_a_task_that_keeps_ending_is_given_up_and_stays_down() -> None:
    world, starts = World(), 0

    async def work() -> None:
        nonlocal starts
        starts += 1

    world.supervisor.start("watching", work)
    await world.settle()
    assert starts == supervising.MAX_FAILURES
    assert world.lost == ["watching"]
    assert world.supervisor.down == ("watching",)
    await world.supervisor.stop()


async def test_failures_far_apart_do_not_add_up() -> None:
    world, starts = World(), 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        world.now += supervising.STEADY_SECONDS
        if starts > 2 * supervising.MAX_FAILURES:
            await asyncio.Event().wait()

    world.supervisor.start("watching", work)
    await world.settle()
    assert starts == 2 * supervising.MAX_FAILURES + 1
    assert world.lost == []
    await world.supervisor.stop()


async def test_what_ends_when_everything_ends_is_no_failure() -> None:
    world, stop = World(), asyncio.Event()

    async def work() -> None:
        await stop.wait()

    world.supervisor.start("watching", work)
    await world.settle()
    world.supervisor.allow_end()
    stop.set()
    await world.settle()
    assert world.supervisor.down == ()
    assert world.pauses == []
