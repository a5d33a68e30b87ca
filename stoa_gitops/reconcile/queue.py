"""Queue of gateways that need a cycle, with reasons; all triggers do is to mark gateways in it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

# Reasons that the process itself gives; any other one is somebody's request.
INTERVAL: Final = "interval"
CATALOG: Final = "catalog changed"
EXPIRY: Final = "expiry"
RETRY: Final = "retry"
CLOCK: Final = "the clock stepped"
SETTINGS: Final = "settings reloaded"
REGISTERED: Final = "registered"


class DirtyQueue:
    """One set of reasons per gateway: they add up until the worker takes them, and wake it once.

    A reason that is added during a cycle stays for the next one, so no wake-up is lost. All methods
    belong to the thread of the event loop.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._since: dict[str, float] = {}

    def request(self, gateway: str, why: str) -> None:
        """Mark a gateway dirty; `why` is a few words for logs (`catalog changed`, `interval`)."""
        self._reasons.setdefault(gateway, {})[why] = None
        self._since.setdefault(gateway, monotonic())
        waiting = self._waiting.get(gateway)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def take(self, gateway: str) -> tuple[str, ...]:
        """Wait until the gateway is dirty, and return why, in the order of the requests."""
        if gateway not in self._reasons:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[gateway] = waiting
            try:
                await waiting
            finally:
                if self._waiting.get(gateway) is waiting:
                    del self._waiting[gateway]
        self._since.pop(gateway, None)
        return tuple(self._reasons.pop(gateway, {}))

    def remove_gateway(self, gateway: str) -> None:
        """Drop a gateway that left the catalog."""
        self._reasons.pop(gateway, None)
        self._waiting.pop(gateway, None)
        self._since.pop(gateway, None)

    def ages(self) -> dict[str, float]:
        """Return how many seconds the oldest reason of each dirty gateway has waited."""
        now = monotonic()
        return {gateway: now - since for gateway, since in self._since.items()}
