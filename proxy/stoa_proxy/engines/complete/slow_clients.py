"""Drops clients that stop reading their response; slow ones are waited for."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from fcntl import ioctl
from termios import TIOCOUTQ

# In the time that a client has; who takes less is not slow but holds a connection.
_LEAST_TAKEN = 16 * 1024


class SlowClientGuard:
    """Aborts a connection whose client takes under 16 KiB in `seconds` while a response waits."""

    __slots__ = ("_left", "_seconds", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on."""
        self._wait(self.left_to_send())

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def left_to_send(self) -> int:
        """Return the bytes that the client has not taken: in our buffer and in the kernel's.

        Both, for the kernel frees its buffer in large steps: ours alone would look stuck.
        """
        left = self._transport.get_write_buffer_size()
        with contextlib.suppress(OSError):
            waiting = ioctl(self._transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4))
            left += int.from_bytes(waiting, sys.byteorder)
        return left

    def _wait(self, left: int) -> None:
        self._left = left
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._check)

    def _check(self) -> None:
        left = self.left_to_send()
        if self._left - left >= _LEAST_TAKEN:
            self._wait(left)
        else:
            self._timer = None
            self._transport.abort()
