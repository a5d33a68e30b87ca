"""Background tasks that the process cannot do without: restarted when they end, with backoff."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.foundation.backoff import Backoff
from stoa_gitops.reconcile.metrics import Metric, Sample, gauge

log = logging.getLogger(__name__)

MAX_FAILURES: Final = 5
"""Ends in a row after which the process gives up: after pauses of 7 to 15 s in all."""

STEADY_SECONDS: Final = 60.0
"""Seconds of running after which the failures before count no more."""


class BackgroundFailed(StoaGitopsError):
    """A background task kept failing, so the process shut down rather than look alive."""

    reason = "BackgroundFailed"


@dataclass
class Supervisor:
    """Restarts tasks with backoff when they end, and gives up when they keep ending.

    on_give_up  called with the name of a task that ended MAX_FAILURES times in a row
    pause       sleeps for seconds
    steady      a clock that never steps, in seconds
    """

    on_give_up: Callable[[str], None]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    steady: Callable[[], float] = monotonic
    # A dict for its order: /ready names the task that ended first.
    _down: dict[str, None] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def down(self) -> tuple[str, ...]:
        """The names of the tasks that do not run at this moment though they should."""
        return tuple(self._down)

    def metrics(self) -> Iterator[Metric]:
        """Yield which tasks run."""
        yield gauge(
            "stoa_gitops_background_task_up",
            "Whether a task in the background runs: 1, or 0 until it is restarted.",
            [
                Sample(float(task.get_name() not in self._down), (("task", task.get_name()),))
                for task in self._tasks
            ],
        )

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` in the background; it is not meant to return before `stop` is called."""
        self._tasks.append(asyncio.create_task(self._keep_running(name, work), name=name))

    def allow_end(self) -> None:
        """Let tasks return by themselves from now on: a shutdown has begun."""
        self._ending.set()

    async def stop(self) -> None:
        """Cancel all tasks and wait for them."""
        self.allow_end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_running(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(most=30.0)
        while not self._ending.is_set():
            self._down.pop(name, None)
            started = self.steady()
            try:
                await work()
            except Exception:  # whatever it is: without the task the process does no work
                log.exception("unexpected error in background task: %s", name)
            if self._ending.is_set():
                return
            if self.steady() - started >= STEADY_SECONDS:
                backoff.reset()
            self._down[name] = None
            seconds = backoff.next()
            if backoff.failures >= MAX_FAILURES:
                log.error(
                    "background task ended %d times in a row, shutting down: %s", MAX_FAILURES, name
                )
                self.on_give_up(name)
                return
            log.warning("background task restarts in %.0f s: %s", seconds, name)
            await self.pause(seconds)
