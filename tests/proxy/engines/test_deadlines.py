"""Many time limits, one timer for all that are the same."""

from __future__ import annotations

import asyncio
import time

import pytest
from stoa_proxy.engines.deadlines import TimeLimits

LONG = 60.0


async def wait(limits: TimeLimits, seconds: float, until: asyncio.Event, ends: list[float]) -> None:
    try:
        with limits.within(seconds):
            await until.wait()
    except TimeoutError:
        ends.append(seconds)


async def test_a_block_that_takes_too_long_ends_and_not_before_its_time() -> None:
    limits, began = TimeLimits(), time.monotonic()
    with pytest.raises(TimeoutError), limits.within(0.02):
        await asyncio.Event().wait()
    assert time.monotonic() - began >= 0.019, "uvloop's timers have milliseconds"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert len(limits) == 0


async def test_each_of_many_ends_at_its_own_time_whatever_began_between() -> None:
    limits, never, ends = TimeLimits(), asyncio.Event(), list[float]()
    seconds = [0.3, 0.1, 0.2, 0.1, 0.3]
    await asyncio.gather(*(wait(limits, one, never, ends) for one in seconds))
    assert ends == sorted(seconds)
    assert len(limits) == 0


async def test_the_second_in_a_row_ends_at_its_own_time_when_the_first_was_in_time() -> None:
    limits, soon, ends = TimeLimits(), asyncio.Event(), list[float]()
    first = asyncio.create_task(wait(limits, 0.2, soon, ends))
    await asyncio.sleep(0)
    second = asyncio.create_task(wait(limits, 0.2, asyncio.Event(), ends))
    await asyncio.sleep(0)
    soon.set()
    await first
    assert ends == []
    await second
    assert ends == [0.2]


async def test_a_cancelled_task_does_not_look_like_a_timeout() -> None:
    limits = TimeLimits()
    task = asyncio.create_task(wait(limits, LONG, asyncio.Event(), []))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_when_its_time_is_over_a_task_is_cancelled() -> None:
    limits = TimeLimits()

    async def work() -> None:
        with limits.within(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_error_in_the_block_stays_what_it_is() -> None:
    limits = TimeLimits()

    async def work(seconds: float) -> None:
        with limits.within(seconds):
            try:
                await asyncio.wait_for(asyncio.Event().wait(), LONG)
            finally:
                raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end"):
        await work(0.01)
    with pytest.raises(KeyError), limits.within(LONG):
        raise KeyError
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
