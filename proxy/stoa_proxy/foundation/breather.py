"""Long work in the event loop, of which others have their turn in between."""

from __future__ import annotations

import asyncio
import time
from typing import Final

# Requests wait for no longer than this; an object of a table takes a tenth of a millisecond.
_SLICE_SECONDS: Final = 0.002


class Breather:
    """Lets others run when this task had its slice of time."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _SLICE_SECONDS

    async def rest(self) -> None:
        """Yield to the loop if it is time to."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + _SLICE_SECONDS
