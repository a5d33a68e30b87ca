"""Schedules drift checks and single cycles; its jobs only mark gateways dirty.

APScheduler drops a wake-up that falls into a running job, and cancels running jobs at its shutdown.
Neither can hurt a job that does nothing but add a reason to a queue.
"""

from __future__ import annotations

from datetime import datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from stoa_gitops.reconcile.queue import INTERVAL, DirtyQueue


class Scheduler:
    """Checks per gateway at an interval, and single ones at a given time (an expiry, a retry)."""

    def __init__(self, queue: DirtyQueue) -> None:
        self._queue = queue
        self._intervals: dict[str, float] = {}
        # Missed runs become one, and a late job still runs: the loop may have been busy for
        # seconds.
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

    def set_interval(self, gateway: str, seconds: float) -> None:
        """Check a gateway every so many seconds.

        The same interval again changes nothing: a busy catalog must not postpone the check for
        ever.
        """
        if self._intervals.get(gateway) != seconds:
            self._intervals[gateway] = seconds
            self._add_interval_job(gateway, seconds)

    def restart_intervals(self) -> None:
        """Count every interval from now: after a clock step the next check may be a day away."""
        for gateway, seconds in self._intervals.items():
            self._add_interval_job(gateway, seconds)

    def next_run(self, gateway: str, why: str = INTERVAL) -> datetime | None:
        """Return when the next job of a gateway for this reason is due, None if there is none."""
        job = self._jobs.get_job(f"{why}:{gateway}")
        return job.next_run_time if job else None

    def _add_interval_job(self, gateway: str, seconds: float) -> None:
        # A tenth of jitter, so that many gateways are not read at the same moment. At
        # least 50 ms, so that a tiny interval cannot keep the loop busy.
        trigger = IntervalTrigger(seconds=max(seconds, 0.05), jitter=seconds / 10)
        self._jobs.add_job(
            self._mark,
            trigger,
            (gateway, INTERVAL),
            id=f"{INTERVAL}:{gateway}",
            replace_existing=True,
        )

    def schedule(self, gateway: str, when: datetime, why: str) -> None:
        """Mark a gateway at a time; a later call for the same reason replaces an earlier one."""
        self._jobs.add_job(
            self._mark,
            DateTrigger(run_date=when),
            (gateway, why),
            id=f"{why}:{gateway}",
            replace_existing=True,
        )

    def remove_gateway(self, gateway: str) -> None:
        """Drop all jobs of a gateway."""
        self._intervals.pop(gateway, None)
        for job in self._jobs.get_jobs():
            if job.id.partition(":")[2] == gateway:
                job.remove()

    async def _mark(self, gateway: str, why: str) -> None:
        self._queue.request(gateway, why)
