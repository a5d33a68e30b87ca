from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from stoa_gitops.reconcile.queue import DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler


async def test_looks_mark_gateways_dirty_and_stop_with_the_scheduler() -> None:
    queue = DirtyQueue()
    scheduler = Scheduler(queue)
    scheduler.every("kong", 0.05)
    scheduler.at("gravitee", datetime.now(UTC) + timedelta(milliseconds=20), "expiry")
    scheduler.start()
    assert await asyncio.wait_for(queue.take("kong"), 5) == ("interval",)
    assert await asyncio.wait_for(queue.take("gravitee"), 5) == ("expiry",)
    scheduler.forget("kong")
    scheduler.stop()


async def test_stopping_twice_is_harmless() -> None:
    scheduler = Scheduler(DirtyQueue())
    scheduler.start()
    scheduler.stop()
    scheduler.stop()
