"""Tasks in the background without which the process does not do its work: none of them ends unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.foundation.backoff import Backoff

log = logging.getLogger(__name__)

TRIES: Final = 5
"""Failures in a row after which a task is given up."""

STEADY: Final = 60.0
"""Seconds after which a task that runs counts as mended."""


class BackgroundFailed(StoaGitopsError):
    """A task of the process kept failing, so the process ended rather than look alive."""

    reason = "BackgroundFailed"


@dataclass
class Supervisor:
    """Begins tasks again with backoff when they end, and gives up the process when they keep ending.

    gave_up  called with the name of a task that failed TRIES times in a row
    pause    waits so many seconds
    """

    gave_up: Callable[[str], None]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    steady: Callable[[], float] = monotonic
    _down: dict[str, None] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def down(self) -> tuple[str, ...]:
        """The tasks that do not run at this moment though they should."""
        return tuple(self._down)

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` in the background; it is not meant to end before `end` is called."""
        self._tasks.append(asyncio.create_task(self._keep(name, work), name=name))

    def let_end(self) -> None:
        """Take note that tasks may end by themselves from now on."""
        self._ending.set()

    async def end(self) -> None:
        """Cancel all tasks and wait for them."""
        self.let_end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(most=30.0)
        while not self._ending.is_set():
            self._down.pop(name, None)
            began = self.steady()
            try:
                await work()
            except Exception:
                log.exception("unexpected error in background task: %s", name)
            if self._ending.is_set():
                return
            if self.steady() - began >= STEADY:
                backoff.reset()
            self._down[name] = None
            seconds = backoff.next()
            if backoff.failures >= TRIES:
                log.error(
                    "background task failed %d times in a row, shutting down: %s", TRIES, name
                )
                self.gave_up(name)
                return
            log.warning("background task restarts in %.0f s: %s", seconds, name)
            await self.pause(seconds)
