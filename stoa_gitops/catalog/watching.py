"""File events of several folders as one stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

log = logging.getLogger(__name__)


async def watch(
    folders: Sequence[tuple[Path, bool]], stop: asyncio.Event, *, tick: float
) -> AsyncIterator[frozenset[str]]:
    """Yield the paths of each batch of events, and an empty set at least every `tick` seconds.

    `folders` are (path, whether folders below count too). Ends when `stop` is set or a folder is gone.
    Where the system has no more watches to give, files are polled, and a warning says so.
    """
    queue: asyncio.Queue[frozenset[str] | None] = asyncio.Queue(maxsize=100)
    tasks = [asyncio.create_task(_feed(path, below, stop, queue)) for path, below in folders]
    try:
        while not stop.is_set():
            try:
                batch = await asyncio.wait_for(queue.get(), tick)
            except TimeoutError:
                batch = frozenset()
            if batch is None:
                return
            yield batch
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _feed(
    path: Path, below: bool, stop: asyncio.Event, queue: asyncio.Queue[frozenset[str] | None]
) -> None:
    from watchfiles import awatch

    polling = False
    while True:
        try:
            async for events in awatch(
                path, watch_filter=None, debounce=400, step=50, stop_event=stop,
                recursive=below, force_polling=polling or None, raise_interrupt=False,
            ):  # fmt: skip
                await queue.put(frozenset(name for _, name in events))
        except FileNotFoundError:
            pass
        except (OSError, RuntimeError) as error:
            if not polling:
                log.warning("%s sends no file events (%s): it is polled instead", path, error)
                polling = True
                continue
            log.warning("%s cannot be watched: %s", path, error)
        await queue.put(None)
        return
