"""Programs of Git that run at this moment: none of them outlives the process that asked."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

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
        _end(child.pid)
        child.communicate()
        _collect(child.pid, 0)
        raise
    else:
        _collect(child.pid, os.WNOHANG)
    finally:
        _children.discard(child.pid)


def end_all() -> None:
    """End every child that is watched, with the children that it has: Git's transports are such."""
    for child in tuple(_children):
        _end(child)


def _collect(group: int, options: int) -> None:
    """Collect those of a group that have ended and are ours by now; with options 0, wait for them to end."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, options)[0]:
            pass


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
