"""Writes to a stream of the process on a thread of its own, for whoever reads a pipe may stop.

A thread that hangs in a write cannot be ended. In the event loop's own pool it would be missed by
all others who need one, and the process would wait for it at its end; so it is a daemon.
"""

from __future__ import annotations

import asyncio
import os
import queue
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

_Job = tuple[str, bytes, asyncio.AbstractEventLoop, "asyncio.Future[None]"]
# What a pipe takes in one piece (POSIX, write): so lines of others never come in between.
_PIECE: Final = select.PIPE_BUF


class OutputThread:
    """One thread, begun with the first `write`; `stop` lets it end when it has written all.

    It writes between `lock` and `unlock`, which are given the name of the stream: other processes
    may write to it, too, and a line may be longer than what a pipe takes in one piece.
    """

    def __init__(
        self,
        lock: Callable[[str], None] = lambda _: None,
        unlock: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._lock = lock
        self._unlock = unlock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def write(self, stream: str, content: bytes) -> None:
        """Write whole lines to `stdout` or `stderr`, in the order of the calls. Raises OSError."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._jobs.put((stream, content, loop, future))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="output", daemon=True)
            self._thread.start()
        await future

    def stop(self) -> None:
        """Let the thread end, without waiting for it."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            stream, content, loop, future = job
            error: OSError | None = None
            try:
                self._lock(stream)
                try:
                    _write(stream, content)
                finally:
                    self._unlock(stream)
            except (OSError, ValueError) as caught:  # ValueError: the stream was closed
                error = caught if isinstance(caught, OSError) else OSError(None, "it is closed")
            try:
                loop.call_soon_threadsafe(_settle, future, error)
            except RuntimeError:
                return  # the loop has ended, and with it everybody who waited


def _settle(future: asyncio.Future[None], error: OSError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _write(name: str, content: bytes) -> None:
    stream = sys.stdout if name == "stdout" else sys.stderr
    try:
        number = stream.fileno()
    except (AttributeError, OSError):  # a text stream that was put in its place
        stream.write(content.decode())
        stream.flush()
        return
    # Not through the stream's buffer: its lock would be held for as long as this hangs.
    pieces = [content] if stat.S_ISREG(os.fstat(number).st_mode) else _pieces(content)
    for piece in pieces:
        left = piece
        while left:
            try:
                left = left[os.write(number, left) :]
            except BlockingIOError:  # whoever shares the pipe has made it so
                select.select([], [number], [])


def _pieces(content: bytes) -> Iterator[bytes]:
    """Yield whole lines, together as far as they fit into one piece; a longer one alone."""
    start = 0
    while start < len(content):
        end = content.rfind(b"\n", start, start + _PIECE) + 1 or content.find(b"\n", start) + 1
        yield content[start : end or len(content)]
        start = end or len(content)
