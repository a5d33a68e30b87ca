"""Work that is under way: those who want the same wait for its end instead of doing it again."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from stoa_proxy.foundation.clock import Clock

K = TypeVar("K", bound=Hashable)


class Flight:
    """One piece of work; `end` it once. After `until` (monotonic) it counts as lost."""

    __slots__ = ("_waiting", "is_over", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.is_over = False
        self._waiting: list[asyncio.Future[None]] = []

    def end(self) -> None:
        """Let those go on who wait."""
        self.is_over = True
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait(self, seconds: float) -> None:
        """Wait for the end, but no longer than `seconds`."""
        if self.is_over:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            if not self.is_over:
                self._waiting.remove(future)
            future.cancel()


class Flights(Generic[K]):
    """The work that is under way, by key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flights: dict[K, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def find(self, key: K) -> Flight | None:
        """Return the work of a key, if some is under way."""
        flight = self._flights.get(key)
        if flight is None or flight.until > self._clock.monotonic():
            return flight
        self.end(key, flight)
        return None

    def begin(self, key: K, seconds: float) -> Flight | None:
        """Note that work begins, which may take so long; None where it is under way already."""
        if self.find(key) is not None:
            return None
        flight = self._flights[key] = Flight(self._clock.monotonic() + seconds)
        return flight

    def give_up(self, key: K, flight: Flight) -> None:
        """Let nobody else wait for work that takes too long; those who do may go on doing so."""
        if self._flights.get(key) is flight:
            del self._flights[key]

    def end(self, key: K, flight: Flight) -> None:
        """Note the end of work; nothing happens for one that has ended."""
        self.give_up(key, flight)
        flight.end()
