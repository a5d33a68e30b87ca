"""What policies keep between requests: one object for each class of state, of one gateway.

Policies are frozen values that many routes share, so whatever changes is here, and lives on when a
table is swapped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.metrics import Kind, Merge, Read


class MetricFamily(NamedTuple):
    """Lines of `/metrics` under one name, as `Metrics.add` takes them."""

    kind: Kind
    name: str
    text: str
    read: Read
    merge: Merge = "sum"


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

    def preview(self) -> PolicyState:
        """Return what a request that is only explained is given in its place: itself.

        A state that counts requests returns one that says the same, and counts nothing.
        """
        return self


S = TypeVar("S", bound=PolicyState)


class PolicyStates:
    """The states of one gateway, each made when it is asked for first."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._states: dict[type[PolicyState], PolicyState] = {}

    def of(self, kind: type[S]) -> S:
        """Return the state of a class."""
        state = self._states.get(kind)
        if state is None:
            state = self._states[kind] = kind(self.clock)
        assert isinstance(state, kind)
        return state

    def put(self, kind: type[S], state: S) -> None:
        """Use this object as the state of a class, before anybody asks for it."""
        self._states[kind] = state

    def preview(self) -> PolicyStates:
        """Return states for a request that is only explained."""
        return _Previews(self)


class _Previews(PolicyStates):
    def __init__(self, states: PolicyStates) -> None:
        super().__init__(states.clock)
        self._real = states

    def of(self, kind: type[S]) -> S:
        state = self._states.get(kind)
        if state is None:
            state = self._states[kind] = self._real.of(kind).preview()
        assert isinstance(state, kind)
        return state
