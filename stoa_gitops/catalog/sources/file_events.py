"""Merges the file events of several folders into one stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TypeAlias

log = logging.getLogger(__name__)

_Queue: TypeAlias = "asyncio.Queue[frozenset[str] | None]"


async def watch(
    folders: Sequence[tuple[Path, bool]], stop: asyncio.Event, *, tick: float
) -> AsyncIterator[frozenset[str]]:
    """Yield the paths of each batch of events, and an empty set at least every `tick` seconds.

    `folders` are (path, whether folders below count too). The first set is empty and comes when
    events are being collected. Ends when `stop` is set or a folder is gone. Where the system has no
    more inotify watches, files are polled, and a warning says so.
    """
    # Bounded: a slow reader slows the watch down instead of filling the memory.
    queue: _Queue = asyncio.Queue(maxsize=100)
    # watchfiles sets the event that it is given when it is cancelled: it gets one of its own.
    ending = asyncio.Event()
    tasks = [asyncio.create_task(_feed(path, below, ending, queue)) for path, below in folders]
    stopped = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            getting = asyncio.create_task(queue.get())
            await asyncio.wait({getting, stopped}, timeout=tick, return_when="FIRST_COMPLETED")
            batch = getting.result() if getting.done() else frozenset()
            getting.cancel()
            if batch is None or stop.is_set():
                return
            yield batch
    finally:
        ending.set()
        stopped.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for some seconds, or until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _feed(path: Path, below: bool, ending: asyncio.Event, queue: _Queue) -> None:
    """Put batches of events into the queue; None when there will be no more."""
    try:
        await _collect(path, below, ending, queue, is_polling=False)
    except FileNotFoundError:
        log.debug("%s is gone", path)
    except (OSError, RuntimeError) as error:
        log.warning("%s sends no file events (%s): it is polled instead", path, error)
        try:
            await _collect(path, below, ending, queue, is_polling=True)
        except (OSError, RuntimeError) as again:
            log.warning("%s cannot be watched: %s", path, again)
    finally:
        if not ending.is_set():
            await queue.put(None)


async def _collect(
    path: Path, below: bool, ending: asyncio.Event, queue: _Queue, *, is_polling: bool
) -> None:
    from watchfiles import awatch

    # debounce 400 ms: an editor or a Git checkout writes many files, which become one batch.
    batches = awatch(
        path,
        watch_filter=None,
        debounce=400,
        step=50,
        stop_event=ending,
        recursive=below,
        force_polling=is_polling or None,
    )
    waiting = asyncio.ensure_future(anext(batches))
    # One turn of the loop: by then the watch is installed, and no later event is missed.
    await asyncio.sleep(0)
    await queue.put(frozenset())
    try:
        while True:
            events = await waiting
            await queue.put(frozenset(name for _, name in events))
            waiting = asyncio.ensure_future(anext(batches))
    except StopAsyncIteration:
        return
    finally:
        waiting.cancel()
