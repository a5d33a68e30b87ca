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
    """Know of a child that leads a process group of its own; whatever interrupts the block ends the group."""
    _children.add(child.pid)
    try:
        yield
    except BaseException:
        _end(child.pid)
        child.communicate()
        raise
    finally:
        _children.discard(child.pid)


def end_all() -> None:
    """End every child that is watched, with the children that it has: Git's transports are such."""
    for child in tuple(_children):
        _end(child)


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
