"""Programs of Git that run at this moment: none of them outlives the process that asked."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Final

GRACE_SECONDS: Final = 2.0
"""For Git to put away what it holds."""

_children: set[int] = set()


@contextlib.contextmanager
def watched(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Know of a child that leads a process group of its own; whatever interrupts the block ends the group.

    As the first process of a container we inherit what a child leaves behind, and are the only one who can collect it.
    """
    _children.add(child.pid)
    try:
        yield
    except BaseException:
        _end(child)
        raise
    else:
        _collect(child.pid, os.WNOHANG)
    finally:
        _children.discard(child.pid)


def end_all() -> None:
    """Tell every child that is watched to end, with the children that it has: Git's transports are such."""
    for child in tuple(_children):
        _send(child, signal.SIGTERM)


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
