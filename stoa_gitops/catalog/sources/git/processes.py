"""Tracks the Git processes that are running, so that none of them outlives this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

GRACE_SECONDS: Final = 2.0
"""Time for Git to remove its lock files after SIGTERM, before SIGKILL."""

START_SECONDS: Final = 1.0
"""Time that `terminate_all` waits for a child that is being started at the moment."""

_INTERRUPTIONS: Final = (signal.SIGTERM, signal.SIGINT)

_children: set[int] = set()
_starting = threading.Lock()


@contextlib.contextmanager
def watched(start: Callable[[], subprocess.Popen[bytes]]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a child that leads a process group of its own; an exception in the block ends the
    group.

    As PID 1 of a container this process inherits orphans of its children, and nobody else reaps
    them.
    """
    child: subprocess.Popen[bytes] | None = None
    try:
        # Between the start and the entry in the set nobody knows the child.
        with _starting, _uninterrupted():
            child = start()
            _children.add(child.pid)
        yield child
    except BaseException:
        if child is not None:
            _end(child)
        raise
    else:
        _collect(child.pid, os.WNOHANG)
    finally:
        if child is not None:
            _children.discard(child.pid)


def terminate_all() -> None:
    """Send SIGTERM to every watched child and its children, such as Git's transports."""
    is_known = _starting.acquire(timeout=START_SECONDS)
    for child in tuple(_children):
        _send(child, signal.SIGTERM)
    if is_known:
        _starting.release()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay SIGTERM and SIGINT, so that a child that was just started is not forgotten.

    Python runs signal handlers in the main thread only. Blocking the signals by a mask is not
    possible: the child would inherit the mask and never be told to end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    handlers = {number: signal.getsignal(number) for number in _INTERRUPTIONS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in ours:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for noted in received:
            signal.raise_signal(noted)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process group: SIGTERM, so that Git removes its locks, and SIGKILL for what is left."""
    _send(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    _send(child.pid, signal.SIGKILL)
    # Reads the rest of its pipes, on which it could otherwise block.
    child.communicate()
    _collect(child.pid, 0)


def _collect(group: int, options: int) -> None:
    """Reap the processes of a group that have ended; with options 0, wait until all have."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, options)[0]:
            pass


def _send(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
