"""The process of one worker, as its parent sees it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

MODULE = "stoa_proxy.worker_process"


class WorkerProcess:
    """A child that has one end of a socket, a pipe that says whether its parent lives, and memory.

    `ended` is set with its exit status, which is negative for a signal. Raises OSError where none
    can be started.
    """

    def __init__(self, memory: int) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.connected, theirs = socket.socketpair()
        read_end, self._life = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [
                    # Not from the folder in which somebody starts the gateway.
                    sys.executable, "-P", "-m", MODULE,
                    str(theirs.fileno()), str(read_end), str(memory),
                ],
                pass_fds=(theirs.fileno(), read_end, memory),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path))},
                # Ctrl-C in a terminal is for the parent, which lets requests finish.
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self.connected.close()
            os.close(self._life)
            raise
        finally:
            theirs.close()
            os.close(read_end)
        # Not a thread of the loop's pool, of which there are few: this one waits as long as the
        # worker lives.
        threading.Thread(
            target=self._wait, args=(loop, self._popen.wait), name="worker", daemon=True
        ).start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._popen.pid

    def kill(self) -> None:
        """End it at once, whatever it does."""
        with suppress(OSError):
            self._popen.kill()

    def close(self) -> None:
        """Let go of what is left of a process that has ended."""
        os.close(self._life)

    def _wait(self, loop: asyncio.AbstractEventLoop, wait: Callable[[], int]) -> None:
        status = wait()
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._note_end, status)

    def _note_end(self, status: int) -> None:
        if not self.ended.done():
            self.ended.set_result(status)
