"""The worker of one gateway: takes it from the queue, runs a cycle, backs off after failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.foundation.backoff import Backoff
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.log_context import in_cycle
from stoa_gitops.reconcile.queue import CATALOG, EXPIRY, INTERVAL, REGISTERED, RETRY, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler

log = logging.getLogger(__name__)

EXPIRY_SPACING: Final = timedelta(seconds=5)
"""Least time between two cycles for expiries: thousands of subscriptions may end seconds apart,
and each of them is a plan from scratch. What ends in between ends with the next one."""

# Reasons that wait for the retry after a failure; everything else is tried at once.
_WAIT_IN_BACKOFF = frozenset({INTERVAL})
# Reasons that wait where the gateway named a time (Retry-After). A person's request does not.
_WAIT_FOR_GATEWAY = frozenset({INTERVAL, CATALOG, EXPIRY})


RunCycle: TypeAlias = Callable[[str, tuple[str, ...]], Awaitable[CycleResult | None]]
"""`run_cycle(gateway, why)` runs one cycle and publishes its result; None where there was none."""


class Worker:
    """Runs cycles of one gateway, one at a time, whenever it is dirty."""

    __slots__ = (
        "_backoff", "_clock", "_gateway", "_is_stopped", "_last_expiry", "_pause", "_queue",
        "_run_cycle", "_scheduler",
    )  # fmt: skip

    def __init__(
        self,
        gateway: str,
        run_cycle: RunCycle,
        queue: DirtyQueue,
        scheduler: Scheduler,
        clock: Callable[[], datetime],
    ) -> None:
        self._gateway = gateway
        self._run_cycle = run_cycle
        self._queue = queue
        self._scheduler = scheduler
        self._clock = clock
        self._backoff = Backoff()
        self._is_stopped = False
        self._pause: tuple[datetime, datetime, frozenset[str]] | None = None
        self._last_expiry: datetime | None = None

    async def run(self) -> None:
        """Run cycles as long as there is a mark; a failure is logged and tried again."""
        while not self._is_stopped and self._queue.is_dirty(self._gateway):
            try:
                await self.step()
            except Exception:
                log.exception("%s: unexpected error in its worker", self._gateway)
                await asyncio.sleep(self._backoff.next())
                if not self._is_stopped:
                    self._queue.request(self._gateway, RETRY)

    def stop(self) -> None:
        """Run no cycle after the one that runs."""
        self._is_stopped = True

    async def step(self) -> None:
        """Take the marks and run one cycle, unless all of them can wait for the retry."""
        why = self._queue.take(self._gateway)
        if self._can_wait(why):
            return
        if REGISTERED in why:
            # A gateway that started anew is not the one that failed before.
            self._backoff.reset()
        started = self._clock()
        if EXPIRY in why:
            self._last_expiry = started
        with in_cycle(self._gateway):
            try:
                result = await self._run_cycle(self._gateway, why)
            except StoaGitopsError as error:
                log.warning("%s: cycle failed: %s", self._gateway, error)
                self._retry(0.0)
            except Exception:
                log.exception("%s: unexpected error in a cycle", self._gateway)
                self._retry(0.0)
            else:
                if result is not None:
                    self._handle_result(result, started)

    def _can_wait(self, why: tuple[str, ...]) -> bool:
        """Whether all reasons wait for a retry that is due later; a step of the clock ends it."""
        if self._pause is None:
            return False
        since, until, waiting = self._pause
        return since <= self._clock() < until and waiting.issuperset(why)

    def _handle_result(self, result: CycleResult, started: datetime) -> None:
        self._pause = None
        if result.is_ok:
            self._backoff.reset()
        else:
            self._retry(result.retry_after)
        if result.next_check is not None:
            self._schedule(self._spaced(result.next_check, started), EXPIRY)

    def _spaced(self, when: datetime, started: datetime) -> datetime:
        """Return when a cycle runs for what is due at a time."""
        last = self._last_expiry
        # What is due already goes on with what this cycle began; nobody has made that many.
        if when <= started or last is None or last > started:  # last > started: the clock stepped
            return when
        return max(when, last + EXPIRY_SPACING)

    def _retry(self, at_least: float) -> None:
        now = self._clock()
        # A gateway's Retry-After is a lower bound; the backoff may be longer.
        until = now + timedelta(seconds=self._backoff.next(at_least))
        self._pause = (now, until, _WAIT_FOR_GATEWAY if at_least else _WAIT_IN_BACKOFF)
        self._schedule(until, RETRY)

    def _schedule(self, when: datetime, why: str) -> None:
        """Schedule a cycle, unless this worker has been stopped."""
        if not self._is_stopped:
            self._scheduler.schedule(self._gateway, when, why)
