"""How a process ends whose command only read: at once, its memory left to the system.

Giving back 100,000s of objects one by one takes a tenth of the time of `validate`, for nobody.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


class FastExit:
    """The end of this process, where it is ours to end.

    held   what a command that only reads has read; nothing where there is something left to put in order
    """

    def __init__(self) -> None:
        self.is_ours = False
        self.held: list[object] = []

    def hold(self, *things: object) -> None:
        """Hold to the end what was read, and say by it that nothing else is left to do at the end."""
        if self.is_ours:
            self.held.extend(things)

    def run(self, command: Callable[[], int]) -> NoReturn:
        """Run a command as the whole of this process, and end it with the command's code."""
        self.is_ours = True
        code = command()
        if self.held and is_alone() and _is_flushed():
            atexit._run_exitfuncs()  # noqa: SLF001 - what waits for the end has its turn, as in an end in order
            os._exit(code)
        sys.exit(code)


fast_exit = FastExit()


def is_alone() -> bool:
    """Whether neither another thread runs nor anybody watches what runs: profilers and debuggers want an end in order."""
    watched = sys.gettrace() is not None or sys.getprofile() is not None
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        watched = watched or any(monitoring.get_tool(number) for number in range(6))
    return threading.active_count() == 1 and not watched


def _is_flushed() -> bool:
    """Whether all that was written is out; where it cannot be, an end in order says so."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return False
    return True
