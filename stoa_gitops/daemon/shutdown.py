"""Graceful shutdown, then forced exit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Final, NoReturn

from stoa_gitops.catalog.sources.git import processes as children

_SHOW_CURSOR: Final = "\x1b[?25h"
"""DECTCEM (ECMA-48 private mode 25): a progress bar hides the cursor while it is shown."""


async def run_unless_stopped(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Run a coroutine until it ends or `stop` is set, which cancels it; raises what it raises."""
    task, stop_task = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (task, stop_task):
        waiting.cancel()
    outcome, _ = await asyncio.gather(task, stop_task, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome


def exit_now(code: int, message: str = "") -> NoReturn:
    """Exit without any cleanup but for our child processes and the cursor of the terminal."""
    children.terminate_all()
    # A closed stderr (ValueError) or a full disk under it must not hold the exit up.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(message + (_SHOW_CURSOR if sys.stderr.isatty() else ""))
            sys.stderr.flush()
    # Not sys.exit: threads that hang, and the exit handlers of libraries, would be waited for.
    os._exit(code)


def kill_after(seconds: float) -> threading.Timer:
    """Exit by force after so many seconds; a process that ends earlier is not kept alive.

    Nothing is lost by that: what was done is found again by ownership marks and records.
    """

    def end() -> None:
        exit_now(1, f"stoa-gitops: shutdown took longer than {seconds:g} s; exiting\n")

    timer = threading.Timer(seconds, end)
    timer.daemon = True  # a thread, not a task: the loop itself may hang
    timer.start()
    return timer
