"""Equal work at one moment is done once, and whoever leaves takes nothing from the others."""

from __future__ import annotations

import asyncio
import gc

import pytest
from stoa_proxy.foundation.single_flight import SingleFlight


class Work:
    def __init__(self) -> None:
        self.runs = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def run(self) -> int:
        self.runs += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.runs


async def start(flights: SingleFlight[str, int], work: Work, count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flights.run("a", work.run, 5.0)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_all_that_wait_get_the_result_of_one() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    tasks = await start(flights, work, 5)
    assert (len(flights), flights.is_running("a"), flights.is_running("b")) == (1, True, False)
    work.gate.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert (work.runs, len(flights)) == (1, 0)
    assert await flights.run("a", work.run, 5.0) == 2


async def test_an_error_is_everybodys() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    work.error = ValueError("no")
    tasks = await start(flights, work, 3)
    work.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3
    assert (work.runs, len(flights)) == (1, 0)


async def test_the_work_goes_on_when_the_first_is_cancelled_or_loses_patience() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    first, second, third = await start(flights, work, 3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(TimeoutError):
        await flights.run("a", work.run, 0.001)
    work.gate.set()
    assert await asyncio.gather(second, third) == [1, 1]
    assert (work.runs, len(flights)) == (1, 0)


async def test_an_error_that_nobody_waits_for_is_no_noise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    work.error = ValueError("no")
    with pytest.raises(TimeoutError):
        await flights.run("a", work.run, 0.001)
    work.gate.set()
    while len(flights):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert not caplog.records


async def test_one_that_waits_can_leave() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    first, second = await start(flights, work, 2)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    work.gate.set()
    assert await first == 1
