"""A selector that hands out a few events at a time, so that no turn of the event loop is long."""

from __future__ import annotations

import selectors
from collections import deque
from typing import Final

MOST: Final = 64
"""Events of one turn. A request takes up to 0.5 ms: without a bound, a thousand gateways that
register at once are read in one turn, in which the data plane and the store wait for 0.3 s and all
of the requests are in memory together (17 KiB each)."""

Event = tuple[selectors.SelectorKey, int]


class TurnSelector(selectors.DefaultSelector):
    """Selects as the platform's selector does; events beyond MOST wait for the next calls.

    All of one look are handed out before the next look, so a client that always has something to
    send keeps nobody waiting.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Event] = deque()

    def select(self, timeout: float | None = None) -> list[Event]:
        """Return events that are ready; waits for the first one only if none is left over."""
        if not self._waiting:
            ready = super().select(timeout)
            if len(ready) <= MOST:
                return ready
            self._waiting.extend(ready)
        registered, ready = self.get_map(), []
        while self._waiting and len(ready) < MOST:
            key, events = self._waiting.popleft()
            # Another key of the same number is of somebody else, or of another interest; what is
            # ready for it is found by the next look.
            if registered.get(key.fd) is key:
                ready.append((key, events))
        return ready
