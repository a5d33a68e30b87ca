from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from stoa_gitops.reconcile.queue import DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler


async def test_jobs_mark_gateways_dirty_and_stop_with_the_scheduler() -> None:
    queue = DirtyQueue()
    scheduler = Scheduler(queue)
    scheduler.set_interval("kong", 0.05)
    scheduler.schedule("gravitee", datetime.now(UTC) + timedelta(milliseconds=20), "expiry")
    scheduler.start()
    assert await asyncio.wait_for(queue.take("kong"), 5) == ("interval",)
    assert await asyncio.wait_for(queue.take("gravitee"), 5) == ("expiry",)
    scheduler.remove_gateway("kong")
    scheduler.stop()


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
