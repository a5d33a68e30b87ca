from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from stoa_gitops.reconcile.queue import DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler


async def test_gateways_are_marked_when_they_are_due() -> None:
    queue, marked = DirtyQueue(), asyncio.Event()
    scheduler = Scheduler(queue)
    queue.on_dirty = lambda _: marked.set()
    scheduler.set_interval("kong", 60)
    scheduler.start()
    scheduler.schedule("gravitee", datetime.now(UTC) + timedelta(milliseconds=20), "expiry")
    await asyncio.wait_for(marked.wait(), 30)
    assert queue.take("gravitee") == ("expiry",)
    assert not queue.is_dirty("kong")
    assert scheduler.next_run("gravitee", "expiry") is None
    scheduler.stop()


async def test_a_gateway_is_checked_again_and_again_until_it_is_removed() -> None:
    rounds = 0
    queue, done = DirtyQueue(), asyncio.Event()
    scheduler = Scheduler(queue)

    def take(gateway: str) -> None:
        nonlocal rounds
        rounds += queue.take(gateway) == ("interval",)
        if rounds == 3:
            scheduler.remove_gateway("kong")
            done.set()

    queue.on_dirty = take
    scheduler.start()
    scheduler.set_interval("kong", 0.05)
    await asyncio.wait_for(done.wait(), 30)
    assert scheduler.next_run("kong") is None
    scheduler.stop()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_what_is_replaced_or_removed_marks_nothing_and_does_not_pile_up() -> None:
    queue, clock = DirtyQueue(), Clock()
    scheduler = Scheduler(queue, clock)
    for number in range(5_000):
        scheduler.schedule("kong", datetime.fromtimestamp(clock.now + 9_000 - number, UTC), "retry")
    scheduler.schedule("gravitee", datetime.fromtimestamp(clock.now + 1, UTC), "retry")
    scheduler.remove_gateway("gravitee")
    assert len(scheduler._heap) < 1_000
    clock.now += 4_000
    scheduler._mark_due()
    assert queue.ages() == {}
    clock.now += 10_000
    scheduler._mark_due()
    assert queue.take("kong") == ("retry",)


async def test_a_check_that_comes_late_is_made_once() -> None:
    queue, clock, marks = DirtyQueue(), Clock(), list[str]()
    queue.on_dirty = marks.append
    scheduler = Scheduler(queue, clock)
    scheduler.set_interval("kong", 60)
    clock.now += 3_600
    scheduler._mark_due()
    assert marks == ["kong"]
    due = scheduler.next_run("kong")
    assert due is not None
    assert 54 <= due.timestamp() - clock.now <= 66


async def test_stopping_twice_is_harmless() -> None:
    scheduler = Scheduler(DirtyQueue())
    scheduler.start()
    scheduler.stop()
    scheduler.stop()


async def test_the_same_interval_again_does_not_postpone_the_next_check() -> None:
    scheduler = Scheduler(DirtyQueue())
    scheduler.start()
    scheduler.set_interval("kong", 60)
    before = scheduler.next_run("kong")
    scheduler.set_interval("kong", 60)
    assert scheduler.next_run("kong") == before
    scheduler.set_interval("kong", 600)
    after = scheduler.next_run("kong")
    assert before is not None
    assert after is not None
    assert after > before + timedelta(minutes=5)
    scheduler.stop()


async def test_after_a_step_of_the_clock_intervals_count_from_now() -> None:
    scheduler = Scheduler(DirtyQueue())
    scheduler.start()
    scheduler.set_interval("kong", 60)
    scheduler.restart_intervals()
    due = scheduler.next_run("kong")
    assert due is not None
    assert due < datetime.now(UTC) + timedelta(seconds=70)
    scheduler.stop()
