"""Time limits of many tasks, with one timer for all that have the same limit.

Of those the first to begin is the first to end, so the timer waits for that one alone. A timer for every request costs
more than finding the route, the caller and the limits together.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class TimeLimits:
    """Ends what takes too long, in the task that waits for it."""

    def __init__(self) -> None:
        self._queues: dict[float, _Queue] = {}

    def __len__(self) -> int:
        """How many different limits have a timer."""
        return len(self._queues)

    def within(self, seconds: float) -> TimeLimit:
        """A block that raises TimeoutError when it takes longer, like `asyncio.timeout`; for one use."""
        return TimeLimit(self, seconds)

    def queue(self, seconds: float) -> _Queue:
        """Those who have this limit."""
        queue = self._queues.get(seconds)
        if queue is None:
            queue = self._queues[seconds] = _Queue(self._queues, seconds)
        return queue


class TimeLimit:
    """One block with a limit."""

    __slots__ = ("_cancelling", "_is_over", "_limits", "_queue", "_seconds", "_task", "when")

    def __init__(self, limits: TimeLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "only a task can be ended"
        self._task = task
        self._cancelling = task.cancelling()
        self.when = asyncio.get_running_loop().time() + self._seconds
        self._queue = self._limits.queue(self._seconds)
        self._queue.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not self._is_over:
            self._queue.remove(self)
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            # Nobody else wants the task to end.
            raise TimeoutError from error

    def end(self) -> None:
        """End the block: its time is over."""
        self._is_over = True
        self._task.cancel()


class _Queue:
    """Those with one limit, in the order in which they end."""

    __slots__ = ("_queues", "_seconds", "_timer", "_waiting")

    def __init__(self, queues: dict[float, _Queue], seconds: float) -> None:
        self._queues = queues
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[TimeLimit, None] = {}

    def add(self, limit: TimeLimit) -> None:
        self._waiting[limit] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(limit.when, self._look)

    def remove(self, limit: TimeLimit) -> None:
        del self._waiting[limit]

    def _look(self) -> None:
        """End whose time is over, and wait for the next; with nobody left, be gone."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            first = next(iter(self._waiting))
            if first.when > loop.time():
                self._timer = loop.call_at(first.when, self._look)
                return
            del self._waiting[first]
            first.end()
        del self._queues[self._seconds]
