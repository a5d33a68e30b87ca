"""Work that is done every few seconds, and once more at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Periodic:
    """Calls `work` every `seconds`; it raises nothing.

    periodic = Periodic(write, 1.0)
    periodic.start()
    await periodic.stop()  # after one more call
    """

    def __init__(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def start(self, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Begin, with `first` at once."""
        self._ending = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(first))

    async def stop(self) -> None:
        """Let the call that is under way end, and call once more; nothing when not started."""
        if self._task is None:
            return
        # Not cancelled: a thread that writes for it would go on, and undo what is written next.
        self._ending.set()
        await self._task
        self._task = None
        await self._work()

    async def _run(self, first: Callable[[], Awaitable[None]] | None) -> None:
        if first is not None:
            await first()
        ending = asyncio.ensure_future(self._ending.wait())
        while not self._ending.is_set():
            await asyncio.wait([ending], timeout=self._seconds)
            await self._work()
