"""Signals of a process: SIGTERM and SIGINT stop it, SIGHUP lets it reload."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Final

from stoa_gitops.daemon.shutdown import exit_now

log = logging.getLogger(__name__)

_STOP: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Calls `stop` at the first signal to stop, and ends the process at the second one.

    `received` is the number of the first, 0 for none.
    """

    def __init__(self, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        self._stop = stop
        self._reload = reload
        self.received = 0

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle them in the running event loop until the end of the block."""
        loop = asyncio.get_running_loop()
        for number in _STOP:
            loop.add_signal_handler(number, self._receive, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for number in (*_STOP, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _receive(self, number: int) -> None:
        if self.received:
            log.warning("received a second signal; exiting immediately")
            exit_now(128 + number)  # as a shell reports a process that a signal ended
        self.received = number
        self._stop()
