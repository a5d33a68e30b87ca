"""Whether a client takes its answer: slow ones are waited for, those that take nothing are not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from fcntl import ioctl
from termios import TIOCOUTQ

# In the time that a client has; less is no slow client but one that holds a connection.
_LEAST_TAKEN = 16 * 1024


class SlowClientGuard:
    """Aborts a connection whose client takes next to nothing for `seconds` while an answer waits for it."""

    __slots__ = ("_left", "_seconds", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Watch from now on."""
        self._wait(self.left_to_send())

    def end(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def left_to_send(self) -> int:
        """Bytes that the client has not taken: ours, and the kernel's, which frees its room in large steps."""
        left = self._transport.get_write_buffer_size()
        with contextlib.suppress(OSError):
            found = ioctl(self._transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4))
            left += int.from_bytes(found, sys.byteorder)
        return left

    def _wait(self, left: int) -> None:
        self._left = left
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        left = self.left_to_send()
        if self._left - left >= _LEAST_TAKEN:
            self._wait(left)
        else:
            self._timer = None
            self._transport.abort()
