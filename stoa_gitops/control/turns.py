"""Turns of requests with large bodies, so that nobody who may send them keeps all others out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Final
from weakref import WeakValueDictionary

LARGE_AT_ONCE: Final = 8
"""Large bodies that are held at one moment: 4 MiB from each of five thousand connections would be
the end of the process, and whoever has a gateway key can send them."""

OF_ONE_ADDRESS: Final = 4
"""Of them from one address, which may be that of many gateways behind a front: a body may take its
20 seconds to come, and eight of them, sent by one, kept all acknowledgements of others out."""


class Turns:
    """Who may hold a large body now.

    `LARGE_AT_ONCE` altogether, `OF_ONE_ADDRESS`, and one for each gateway of an address: another
    address that names that gateway holds it up no more than others.
    """

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(LARGE_AT_ONCE)
        # Each as long as somebody has a turn of it, or waits for one.
        self._known: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, address: str, gateway: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it within; `gateway` is empty where a request names none.

        The one that is for all comes last: who waits for one of its own holds up nobody else.
        """
        own = self._of(address, gateway, 1) if gateway else nullcontext()
        async with own, self._of(address, "", OF_ONE_ADDRESS), self._all:
            yield

    def _of(self, address: str, gateway: str, count: int) -> asyncio.Semaphore:
        return self._known.setdefault((address, gateway), asyncio.Semaphore(count))
