"""Long work in the event loop, of which others have their turn in between."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, MutableMapping
from typing import Any, Final

from stoa_proxy.foundation.collector import set_apart

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


async def let_go(objects: Iterable[object]) -> None:
    """Free objects that nobody else refers to any more, a few at a time.

    Those that hold others come first, so that none frees the others with it: what a table of
    20,000 routes consisted of took 40 ms in one go.
    """
    breather = Breather()
    held: deque[object] = deque()
    # The collector does not look through it as it grows: that took 40 ms of 100,000 routes.
    set_apart()
    for one in objects:
        held.append(one)
        await breather.rest()
    del objects
    while held:
        held.popleft()
        await breather.rest()


async def clear(items: MutableMapping[Any, Any] | set[Any]) -> None:
    """Remove all items, a few at a time."""
    breather = Breather()
    remove = items.pop if isinstance(items, set) else items.popitem
    while items:
        remove()
        await breather.rest()
