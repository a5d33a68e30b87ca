"""Blocking calls on daemon threads, which nobody waits for when the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def on_a_thread(read: Callable[[], T]) -> T:
    """Run a blocking call on a thread that does not keep the process from ending.

    A fetch from a server that hangs may take minutes, and the interpreter waits for the threads of
    `asyncio.to_thread` at its exit.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(settle: Callable[..., None], outcome: object) -> None:
        if not done.done():  # the caller may have been cancelled meanwhile
            settle(outcome)

    def run() -> None:
        try:
            ended: tuple[Callable[..., None], object] = (done.set_result, read())
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            ended = (done.set_exception, error)
        # RuntimeError: the loop is closed, and nobody waits for the result any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, *ended)

    threading.Thread(target=run, name="catalog", daemon=True).start()
    return await done
