"""Which gateways are dirty, and why. Marking is all that triggers ever do."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

INTERVAL: Final = "interval"
CATALOG: Final = "catalog changed"
EXPIRY: Final = "expiry"
RETRY: Final = "retry"
CLOCK: Final = "the clock stepped"
SETTINGS: Final = "settings reloaded"
"""Marks that the process makes itself; whatever else marks a gateway is somebody's request."""


class DirtyQueue:
    """One mailbox per gateway: marks add up while nobody looks, and wake the worker once.

    A mark made while a cycle runs stays for the next one, so no wake-up is lost. All methods belong to
    the event loop's thread.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, dict[str, None]] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._since: dict[str, float] = {}

    def request(self, gateway: str, why: str) -> None:
        """Mark a gateway dirty; `why` is a few words for logs (`catalog changed`, `interval`)."""
        self._reasons.setdefault(gateway, {})[why] = None
        self._since.setdefault(gateway, monotonic())
        self._event(gateway).set()

    async def take(self, gateway: str) -> tuple[str, ...]:
        """Wait until the gateway is dirty, and return why, in the order of the marks."""
        event = self._event(gateway)
        await event.wait()
        event.clear()
        self._since.pop(gateway, None)
        return tuple(self._reasons.pop(gateway, {}))

    def forget(self, gateway: str) -> None:
        """Drop the mailbox of a gateway that is no longer worked."""
        self._reasons.pop(gateway, None)
        self._wake.pop(gateway, None)
        self._since.pop(gateway, None)

    def ages(self) -> dict[str, float]:
        """Return, by gateway that is dirty, how many seconds its oldest mark has waited."""
        now = monotonic()
        return {gateway: now - since for gateway, since in self._since.items()}

    def _event(self, gateway: str) -> asyncio.Event:
        return self._wake.setdefault(gateway, asyncio.Event())
