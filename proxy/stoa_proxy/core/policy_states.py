"""What policies keep between requests: one object for each class of state, of one gateway.

Policies are frozen values that many routes share, so whatever changes is here, and lives on when a
table is swapped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.metrics import Kind, Read


class MetricFamily(NamedTuple):
    """Lines of `/metrics` under one name, as `Metrics.add` takes them."""

    kind: Kind
    name: str
    text: str
    read: Read


class PolicyState:
    """Base of a state; `PolicyType.state` names the class, so that its metrics are served.

    One for all APIs of a gateway, so whatever it keeps for a request is bounded, by tenant where
    callers choose how much it is.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def families(self) -> Iterable[MetricFamily]:
        """Return its metrics, each with a bounded number of series."""
        return ()


S = TypeVar("S", bound=PolicyState)


class PolicyStates:
    """The states of one gateway, each made when it is asked for first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[type[PolicyState], PolicyState] = {}

    def of(self, kind: type[S]) -> S:
        """Return the state of a class."""
        state = self._states.get(kind)
        if state is None:
            state = self._states[kind] = kind(self._clock)
        assert isinstance(state, kind)
        return state
