"""How requests are shared out among the backends of a route: values, and the pure algorithms.

`weighted` and `round_robin` are smooth weighted round robin: over one cycle (the sum of the
weights, divided by what they have in common) each backend gets exactly its weight, and the turns
of a heavy one are spread out. Chance and load are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from stoa_proxy.core.backend import Backend

Algorithm = Literal["round_robin", "weighted", "least_conn", "random"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
IN_TURN: Final[frozenset[Algorithm]] = frozenset({"round_robin", "weighted"})
"""Those that a `Cycle` alone decides."""


class WeightedBackend(NamedTuple):
    """One of several backends; a weight of 0 gets no requests."""

    backend: Backend
    weight: int = 1


class ActiveCheck(NamedTuple):
    """A request that tells whether a backend is well: GET `path` on its host.

    Times are in seconds. `healthy` good ones in a row make it healthy again, `unhealthy` bad ones
    unhealthy; good is one of `statuses` within `timeout`.
    """

    path: str
    interval: float = 10.0
    timeout: float = 2.0
    healthy: int = 2
    unhealthy: int = 3
    statuses: frozenset[int] = frozenset({200})


class PassiveCheck(NamedTuple):
    """So many failures in a row keep requests from a backend for `eject_seconds`; 0 never do."""

    failures: int = 5
    eject_seconds: float = 30.0


USUAL_PASSIVE: Final = PassiveCheck()


@dataclass(frozen=True, slots=True)
class Balancing:
    """The backends of a route, of which one at least has a weight, and how one is chosen."""

    targets: tuple[WeightedBackend, ...]
    algorithm: Algorithm = "round_robin"
    active: ActiveCheck | None = None
    passive: PassiveCheck = USUAL_PASSIVE

    @property
    def weights(self) -> tuple[int, ...]:
        """What each backend weighs: round robin makes no difference between those that count."""
        if self.algorithm == "round_robin":
            return tuple(min(target.weight, 1) for target in self.targets)
        return tuple(target.weight for target in self.targets)

    @property
    def first(self) -> Backend:
        """The first backend that gets requests."""
        return next(target.backend for target in self.targets if target.weight)


class Cycle:
    """Where smooth weighted round robin stands: what each backend is owed, in weights.

    The sum is always 0, and no backend is owed more than all weights together.
    """

    __slots__ = ("owed",)

    def __init__(self, size: int) -> None:
        self.owed = [0] * size

    def step(self, candidates: Sequence[int], weights: Sequence[int]) -> int:
        """Return the one of `candidates` whose turn it is; their weights are above 0."""
        owed, total = self.owed, 0
        best = candidates[0]
        for index in candidates:
            weight = weights[index]
            total += weight
            owed[index] += weight
            if owed[index] > owed[best]:
                best = index
        owed[best] -= total
        return best


def choose(
    algorithm: Algorithm,
    candidates: Sequence[int],
    weights: Sequence[int],
    cycle: Cycle,
    load_of: Callable[[int], int],
    draw: Callable[[], float],
) -> int:
    """Return the index of the backend that gets the next request.

    `candidates` are indices of backends with a weight above 0, at least one; `load_of` returns how
    many requests a backend has now, `draw` a number from 0 up to 1.
    """
    if len(candidates) == 1:
        return candidates[0]
    if algorithm == "least_conn":
        loads = [(load_of(index) + 1) / weights[index] for index in candidates]
        least = min(loads)
        # Idle backends are equal: in turn, or the first of them would get everything.
        candidates = [one for one, load in zip(candidates, loads, strict=True) if load == least]
        return cycle.step(candidates, weights)
    if algorithm == "random":
        left = draw() * sum(weights[index] for index in candidates)
        for index in candidates:
            left -= weights[index]
            if left < 0:
                return index
        return candidates[-1]
    return cycle.step(candidates, weights)
