"""One of several tasks does what all of them want at the same moment; the others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs equal work once at a time, by key.

    The first task runs it itself, so nothing runs for nobody: when that task is cancelled, one of
    those that wait takes its place.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Future[V]] = {}

    def __len__(self) -> int:
        """Return how much work runs now."""
        return len(self._running)

    def is_running(self, key: K) -> bool:
        """Whether some task runs the work of a key."""
        return key in self._running

    async def run(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """Return what the work of a key returns, done by this task or by another one.

        Raises what the work raises.
        """
        while (running := self._running.get(key)) is not None:
            # `wait` raises CancelledError only where this task is cancelled.
            await asyncio.wait([running])
            if not running.cancelled():
                return running.result()
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._running[key] = future
        try:
            value = await work()
        except asyncio.CancelledError:
            future.cancel()
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # read here, for perhaps nobody waits
            raise
        else:
            future.set_result(value)
            return value
        finally:
            del self._running[key]
