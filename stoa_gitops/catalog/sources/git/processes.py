"""Programs of Git that run at this moment: none of them outlives the process that asked."""

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
"""For Git to put away what it holds."""

START_SECONDS: Final = 1.0
"""For a child that is being started to become known."""

_INTERRUPTIONS: Final = (signal.SIGTERM, signal.SIGINT)

_children: set[int] = set()
_starting = threading.Lock()


@contextlib.contextmanager
def watched(start: Callable[[], subprocess.Popen[bytes]]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a child that leads a process group of its own; whatever interrupts the block ends the group.

    As the first process of a container we inherit what a child leaves behind, and are the only one who can collect it.
    """
    child: subprocess.Popen[bytes] | None = None
    try:
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


def end_all() -> None:
    """Tell every child that is watched to end, with the children that it has: Git's transports are such."""
    is_known = _starting.acquire(timeout=START_SECONDS)
    for child in tuple(_children):
        _send(child, signal.SIGTERM)
    if is_known:
        _starting.release()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back what would interrupt this thread: a child that it has started and does not know of yet would be left.

    Only the main thread is interrupted by a signal. Its mask is no way: the child would inherit it and not be told.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    handlers = {number: signal.getsignal(number) for number in _INTERRUPTIONS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in ours:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for noted in came:
            signal.raise_signal(noted)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a group: at once what does not end by itself. Git removes its locks when it is told in time."""
    _send(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    _send(child.pid, signal.SIGKILL)
    child.communicate()
    _collect(child.pid, 0)


def _collect(group: int, options: int) -> None:
    """Collect those of a group that have ended and are ours by now; with options 0, wait for them to end."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, options)[0]:
            pass


def _send(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
