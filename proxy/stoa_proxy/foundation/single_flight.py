"""Work that all who want the same at one moment wait for, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs equal work once at a time, by key, in a task of its own.

    Whoever waits may leave or lose patience, and takes nothing from the others: what is slow would
    never be done if it began anew each time. So the work has to end by itself.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        """Return how much work runs now."""
        return len(self._running)

    def is_running(self, key: K) -> bool:
        """Whether the work of a key runs."""
        return key in self._running

    async def run(self, key: K, work: Callable[[], Awaitable[V]], seconds: float) -> V:
        """Return what the work of a key returns, begun here or before.

        Raises what the work raises, and TimeoutError after `seconds`; the work goes on then.
        """
        task = self._running.get(key)
        if task is None:
            loop = asyncio.get_running_loop()
            task = self._running[key] = loop.create_task(self._work(key, work))
        # Unlike awaiting it, this does not cancel the work where this task is cancelled.
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            raise TimeoutError
        return task.result()

    async def _work(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        task = asyncio.current_task()
        assert task is not None, "this is one"
        task.add_done_callback(_read)
        try:
            return await work()
        finally:
            del self._running[key]


def _read(task: asyncio.Task[V]) -> None:
    """Look at an error, for perhaps nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
