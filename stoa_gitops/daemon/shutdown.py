"""The end of a process that was told to end: what is under way is left, and a hard end where that does not get there."""

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
"""A bar that waits for the start hides it."""


async def run_unless_stopped(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do this to its end, or until `stop` is set; raises what it raises."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (doing, stopping):
        task.cancel()
    ended, _ = await asyncio.gather(doing, stopping, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


def exit_now(code: int, message: str = "") -> NoReturn:
    """End this process without anything in order, but for the children of ours and the cursor of the terminal."""
    children.end_all()
    with contextlib.suppress(OSError, ValueError):  # nobody reads it: that holds nothing up
        if sys.stderr is not None:
            sys.stderr.write(message + (_SHOW_CURSOR if sys.stderr.isatty() else ""))
            sys.stderr.flush()
    os._exit(code)


def kill_after(seconds: float) -> threading.Timer:
    """End this process after so many seconds, whatever it waits for; a process that ends earlier is not kept.

    A killed process loses nothing: what it did is found again by marks and records.
    """

    def end() -> None:
        exit_now(1, f"stoa-gitops: shutdown took longer than {seconds:g} s; exiting\n")

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer
