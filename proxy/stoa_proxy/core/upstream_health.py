"""Passive health of upstreams: one that could not be connected to is skipped for 30 s.

Only routes with a fallback ask: without one there is nowhere else to go.
"""

from __future__ import annotations

from stoa_proxy.core.backend import Backend, Origin
from stoa_proxy.foundation.clock import Clock

DOWN_SECONDS = 30.0
# Expired ones are dropped when there are so many; configured backends bound the rest.
_MAX_ORIGINS = 10_000


class UpstreamHealth:
    """The origins that could not be connected to, each for 30 s.

    A tenant whose certificate a backend refuses keeps nobody else from it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[Origin, float] = {}

    def mark_down(self, backend: Backend) -> None:
        """Note that connecting failed now."""
        now = self._clock.monotonic()
        if len(self._until) >= _MAX_ORIGINS:
            self._until = {key: until for key, until in self._until.items() if until > now}
        self._until[backend.origin] = now + DOWN_SECONDS

    def is_down(self, backend: Backend) -> bool:
        """Whether it failed less than 30 s ago."""
        until = self._until.get(backend.origin)
        if until is None:
            return False
        if until > self._clock.monotonic():
            return True
        del self._until[backend.origin]
        return False
