"""Readings on threads that nobody waits for when the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def on_a_thread(read: Callable[[], T]) -> T:
    """Run a reading on a thread that does not keep the process from ending.

    A fetch from a server that hangs may take minutes; the threads of `asyncio.to_thread` are waited for.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(settle: Callable[..., None], outcome: object) -> None:
        if not done.done():
            settle(outcome)

    def work() -> None:
        try:
            ended: tuple[Callable[..., None], object] = (done.set_result, read())
        except BaseException as error:  # noqa: BLE001 - handed over to the loop
            ended = (done.set_exception, error)
        # A loop that has ended has nobody who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, *ended)

    threading.Thread(target=work, name="catalog", daemon=True).start()
    return await done
