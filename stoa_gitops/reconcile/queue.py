"""Queue of gateways that need a cycle, with reasons; all triggers do is to mark gateways in it."""

from __future__ import annotations

from collections.abc import Callable
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
    """One set of reasons per gateway: they add up until somebody takes them.

    on_dirty  called with the name of a gateway at each mark

    A reason that is added during a cycle stays for the next one. All methods belong to the thread
    of the event loop.
    """

    def __init__(self) -> None:
        self.on_dirty: Callable[[str], None] = lambda _: None
        self._reasons: dict[str, dict[str, None]] = {}
        self._since: dict[str, float] = {}

    def request(self, gateway: str, why: str) -> None:
        """Mark a gateway dirty; `why` is a few words for logs (`catalog changed`, `interval`)."""
        self._reasons.setdefault(gateway, {})[why] = None
        self._since.setdefault(gateway, monotonic())
        self.on_dirty(gateway)

    def is_dirty(self, gateway: str) -> bool:
        """Whether there are reasons that nobody took yet."""
        return gateway in self._reasons

    def take(self, gateway: str) -> tuple[str, ...]:
        """Return why a gateway is dirty, in the order of the requests; it is not any more."""
        self._since.pop(gateway, None)
        return tuple(self._reasons.pop(gateway, {}))

    def remove_gateway(self, gateway: str) -> None:
        """Drop a gateway that left the catalog."""
        self._reasons.pop(gateway, None)
        self._since.pop(gateway, None)

    def ages(self) -> dict[str, float]:
        """Return how many seconds the oldest reason of each dirty gateway has waited."""
        now = monotonic()
        return {gateway: now - since for gateway, since in self._since.items()}
