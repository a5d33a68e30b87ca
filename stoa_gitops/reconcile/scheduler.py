"""The clock's part: regular looks for drift. Jobs only mark gateways dirty.

APScheduler drops a wake-up that falls into a run and cancels running jobs when it shuts down; a job that does nothing
but mark cannot be hurt by either.
"""

from __future__ import annotations

from datetime import datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from stoa_gitops.reconcile.queue import INTERVAL, DirtyQueue


class Scheduler:
    """Interval looks per gateway, and single looks at a given time (an expiry, a retry)."""

    def __init__(self, queue: DirtyQueue) -> None:
        self._queue = queue
        self._intervals: dict[str, float] = {}
        self._jobs = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None}
        )

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._jobs.start()

    def stop(self) -> None:
        """End; nothing is waited for, because jobs do no work."""
        if self._jobs.running:
            self._jobs.shutdown(wait=False)

    def every(self, gateway: str, seconds: float) -> None:
        """Look at a gateway regularly, with a tenth of jitter so that gateways do not march.

        Saying the same again changes nothing: a busy catalog must not push the next look away for ever.
        """
        if self._intervals.get(gateway) != seconds:
            self._intervals[gateway] = seconds
            self._begin(gateway, seconds)

    def begin_again(self) -> None:
        """Count every interval from now: after a step of the clock the next look may be a day away."""
        for gateway, seconds in self._intervals.items():
            self._begin(gateway, seconds)

    def next_run(self, gateway: str, why: str = INTERVAL) -> datetime | None:
        """Return when the next check of a gateway is due, None where none of that sort is planned."""
        job = self._jobs.get_job(f"{why}:{gateway}")
        return job.next_run_time if job else None

    def _begin(self, gateway: str, seconds: float) -> None:
        trigger = IntervalTrigger(seconds=max(seconds, 0.05), jitter=seconds / 10)
        self._jobs.add_job(
            self._mark,
            trigger,
            (gateway, INTERVAL),
            id=f"{INTERVAL}:{gateway}",
            replace_existing=True,
        )

    def at(self, gateway: str, when: datetime, why: str) -> None:
        """Look at a gateway once; a later call for the same reason replaces an earlier one."""
        self._jobs.add_job(
            self._mark,
            DateTrigger(run_date=when),
            (gateway, why),
            id=f"{why}:{gateway}",
            replace_existing=True,
        )

    def forget(self, gateway: str) -> None:
        """Drop all looks at a gateway."""
        self._intervals.pop(gateway, None)
        for job in self._jobs.get_jobs():
            if job.id.partition(":")[2] == gateway:
                job.remove()

    async def _mark(self, gateway: str, why: str) -> None:
        self._queue.request(gateway, why)
