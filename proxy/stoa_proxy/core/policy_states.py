"""What policies keep between requests: one object for each class of state, of one gateway.

Policies are frozen values that many routes share, so whatever changes is here, and lives on when a
table is swapped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, TypeVar

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


class OutcomeCounts(PolicyState):
    """How often policies of a type did each of a few things, as one counter.

    Subclasses name it: `metric` and its `text`, and the `label` that has one of `outcomes`. Whoever
    counts does `counts[outcome] += 1`.
    """

    metric: ClassVar[str]
    text: ClassVar[str]
    label: ClassVar[str]
    outcomes: ClassVar[tuple[str, ...]]

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.counts = dict.fromkeys(self.outcomes, 0)

    def families(self) -> Iterable[MetricFamily]:
        """Return the counter, with a series for each outcome."""
        return [MetricFamily("counter", self.metric, self.text, self._read)]

    def _read(self) -> list[tuple[dict[str, str], float]]:
        return [({self.label: name}, count) for name, count in self.counts.items()]

    def preview(self) -> OutcomeCounts:
        """Return one that counts for nobody."""
        return type(self)(self.clock)


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
