"""How late the event loop is: what keeps one request waiting while another is worked on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

# A sample a second costs nothing; the worst of a minute is kept in sight of a scrape.
_EACH_SECONDS: Final = 1.0
_SAMPLES: Final = 60


class LoopLag:
    """Measures from `start` to `stop` how long after its time a timer is called."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure from now on, on the running event loop."""
        self._samples.clear()
        self._wait()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note(self, seconds: float) -> None:
        """Take a sample."""
        self._samples.append(max(0.0, seconds))

    def read(self) -> list[tuple[Mapping[str, str], float]]:
        """Return the last sample and the worst one, for a scrape; nothing before the first."""
        if not self._samples:
            return []
        return [({"type": "last"}, self._samples[-1]), ({"type": "worst"}, max(self._samples))]

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _EACH_SECONDS
        self._timer = loop.call_at(due, self._measure, due)

    def _measure(self, due: float) -> None:
        self.note(asyncio.get_running_loop().time() - due)
        self._wait()
