"""Schedules drift checks and single cycles; all that it does is to mark gateways dirty.

One job of APScheduler serves all gateways, at the time when the first of them is due: a job for
each of a thousand would be a megabyte, and 0.3 ms of CPU with each check.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from stoa_gitops.reconcile.queue import INTERVAL, DirtyQueue

_LEAST: Final = 0.05
"""Seconds of the shortest interval: a tiny one must not keep the loop busy."""

_SLACK: Final = 100
"""Replaced times that are kept beside as many as there are in force."""


class Scheduler:
    """Checks per gateway at an interval, and single ones at a given time (an expiry, a retry).

    clock  seconds since 1970; after a step of it call `restart_intervals`
    """

    def __init__(self, queue: DirtyQueue, clock: Callable[[], float] = time.time) -> None:
        self._queue = queue
        self._clock = clock
        self._intervals: dict[str, float] = {}
        # When each gateway is due for each reason; the heap has times that were replaced, too.
        self._due: dict[tuple[str, str], float] = {}
        self._reasons: set[str] = set()  # of all times: interval, expiry, retry
        self._heap: list[tuple[float, tuple[str, str]]] = []
        # A late job still runs: the loop may have been busy for seconds.
        self._jobs = AsyncIOScheduler(timezone="UTC", job_defaults={"misfire_grace_time": None})
        self._job: Job | None = None

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._jobs.start()
        self._set_job()

    def stop(self) -> None:
        """End; nothing is waited for, because the job does no work."""
        if self._jobs.running:
            self._jobs.shutdown(wait=False)

    def set_interval(self, gateway: str, seconds: float) -> None:
        """Check a gateway every so many seconds.

        The same interval again changes nothing: a busy catalog must not postpone the check for
        ever.
        """
        if self._intervals.get(gateway) != seconds:
            self._intervals[gateway] = seconds
            self._add_interval(gateway)

    def restart_intervals(self) -> None:
        """Count every interval from now: after a clock step the next check may be a day away."""
        for gateway in self._intervals:
            self._add_interval(gateway)
        self._set_job()

    def next_run(self, gateway: str, why: str = INTERVAL) -> datetime | None:
        """Return when a gateway is due next for this reason, None if it is not."""
        at = self._due.get((gateway, why))
        return None if at is None else datetime.fromtimestamp(at, UTC)

    def schedule(self, gateway: str, when: datetime, why: str) -> None:
        """Mark a gateway at a time; a later call for the same reason replaces an earlier one."""
        self._add(gateway, when.timestamp(), why)

    def remove_gateway(self, gateway: str) -> None:
        """Drop everything that is scheduled for a gateway."""
        self._intervals.pop(gateway, None)
        # Not by looking through all: ten thousand gateways may be forgotten at one moment.
        for why in self._reasons:
            self._due.pop((gateway, why), None)

    def _add_interval(self, gateway: str) -> None:
        seconds = max(self._intervals[gateway], _LEAST)
        # A tenth of jitter, so that many gateways are not read at the same moment.
        pause = seconds * random.uniform(0.9, 1.1)  # noqa: S311 - spreads checks, guards nothing
        self._add(gateway, self._clock() + pause, INTERVAL)

    def _add(self, gateway: str, at: float, why: str) -> None:
        one = gateway, why
        if self._due.get(one) == at:
            return
        self._due[one] = at
        self._reasons.add(why)
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(at, one) for one, at in self._due.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (at, one))
        if self._heap[0][1] == one:
            self._set_job()

    def _set_job(self) -> None:
        """Be called again when the first one is due, as the clock is now."""
        if not self._jobs.running or not self._heap:
            return
        if self._job is not None:
            with suppress(JobLookupError):  # it has run
                self._job.remove()
        # Under a new id each time: APScheduler drops a wake-up of a job that is running still.
        when = datetime.fromtimestamp(self._heap[0][0], UTC)
        self._job = self._jobs.add_job(self._wake, DateTrigger(when))

    async def _wake(self) -> None:
        # A coroutine, for APScheduler calls anything else in a thread.
        self._mark_due()

    def _mark_due(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            at, one = heapq.heappop(self._heap)
            if self._due.get(one) != at:
                continue  # replaced or removed since
            del self._due[one]
            gateway, why = one
            if why == INTERVAL:
                self._add_interval(gateway)
            self._queue.request(gateway, why)
        self._set_job()
