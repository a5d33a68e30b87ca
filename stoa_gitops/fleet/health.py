"""How a gateway is: from its heartbeats, or from health checks where it sends none.

The error rate of a heartbeat counts from the gateway's start (contract stoa.md §16.9), so what
happens now shows in the difference of two heartbeats only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class GatewayStatus(Enum):
    """The status of any gateway; the values are those that people and programs see."""

    ONLINE = "ONLINE"
    DEGRADED = "DEGRADED"
    OFFLINE = "OFFLINE"


def status_of_checks(*, is_reachable: bool | None) -> GatewayStatus:
    """Return the status of a gateway that sends no heartbeats; None is not known yet."""
    return GatewayStatus.ONLINE if is_reachable else GatewayStatus.OFFLINE


@dataclass(frozen=True, slots=True)
class Figures:
    """What a heartbeat tells; None for what it does not.

    uptime      seconds since the gateway started
    requests    since it started
    error_rate  share of these that failed, 0 to 1
    """

    uptime: int
    routes: int = 0
    policies: int = 0
    discovered: int = 0
    requests: int | None = None
    error_rate: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """When errors degrade a gateway.

    above     error rate over which it is degraded, 0 to 1
    window    heartbeats with requests over which the rate is formed
    recovery  such heartbeats in a row, not over the rate, after which it is online again
    """

    above: float = 0.05
    window: int = 1
    recovery: int = 1


USUAL: Final = ErrorRules()

_TOLERANCE: Final = 2.0
"""Seconds by which the start that two heartbeats of one process tell may differ: `uptime` is whole
seconds, and a heartbeat is underway for a while."""


@dataclass(slots=True)
class ErrorTracker:
    """Whether errors degrade a gateway, from the totals of its heartbeats."""

    requests: int = 0
    errors: float = 0.0
    is_degraded: bool = False
    rate: float | None = None
    """Of the last window; None before the first one with requests."""
    _before: list[tuple[int, float]] = field(default_factory=list)
    _calm: int = 0

    def take(self, figures: Figures, rules: ErrorRules = USUAL) -> None:
        """Take the totals of one heartbeat; without new requests the state stays."""
        if figures.requests is None or figures.error_rate is None:
            return
        requests, errors = figures.requests, figures.requests * figures.error_rate
        if requests < self.requests:  # it started anew, and counts from zero
            self._before.clear()
            self.requests, self.errors = 0, 0.0
        if requests == self.requests:
            return
        self._before.append((self.requests, self.errors))
        while len(self._before) > rules.window:
            del self._before[0]
        self.requests, self.errors = requests, errors
        since, errors_since = self._before[0]
        # Totals times rates of a float: the difference may be off by a rounding.
        self.rate = min(max((errors - errors_since) / (requests - since), 0.0), 1.0)
        if self.rate > rules.above:
            self.is_degraded, self._calm = True, 0
        elif self.is_degraded:
            self._calm += 1
            self.is_degraded = self._calm < rules.recovery


_RETURNS: Final = 3
"""Times that an earlier start has to come back: that of a late heartbeat does so once."""

_STARTS: Final = 4
"""Processes with one host name that are told apart."""


@dataclass(slots=True)
class StartTracker:
    """Whether one process sends a gateway's heartbeats, or several that share its host name.

    A process that restarts begins at zero and the one before is not heard of again; of two that
    live, the starts that their heartbeats tell take turns.
    """

    _starts: list[float] = field(default_factory=list)
    """The start that was told last, first."""
    # No deque, here and above: an empty one is 0.6 KiB, and a fleet is a thousand gateways.
    _returns: list[float] = field(default_factory=list)
    """When an earlier start came back."""

    def take(self, uptime: float, now: float) -> None:
        """Take the uptime of one heartbeat."""
        start = now - uptime
        for index, known in enumerate(self._starts):
            if abs(known - start) <= _TOLERANCE:
                if index > 0:
                    self._returns = [*self._returns[1 - _RETURNS :], now]
                del self._starts[index]
                break
        self._starts.insert(0, start)
        del self._starts[_STARTS:]

    def is_shared(self, now: float, within: float) -> bool:
        """Whether several processes took turns within the last `within` seconds."""
        return len(self._returns) == _RETURNS and now - self._returns[0] <= within
