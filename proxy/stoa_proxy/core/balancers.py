"""Chooses among the backends of routes, and keeps where each route's turn stands."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from stoa_proxy.core.backend_health import Probed
from stoa_proxy.core.balancing import ALGORITHMS, IN_TURN, Balancing, Cycle, choose
from stoa_proxy.core.model import Route
from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.foundation.clock import Clock

# Routes; the turn of the one that was asked for longest ago is forgotten, and begins anew.
_MAX_ROUTES: Final = 10_000

Loads = Mapping[tuple[str, str, int], int]
"""Requests in flight by tenant, host and port."""


class RouteBalancer:
    """The turn of one route, as long as its backends and weights stay.

    `usable` are the numbers of the backends with a weight, `selections` how often each was chosen.
    """

    __slots__ = ("balancing", "cycle", "probed", "selections", "usable", "weights")

    def __init__(self, balancing: Balancing, tenant: str) -> None:
        self.balancing = balancing
        self.weights = balancing.weights
        self.cycle = Cycle(len(self.weights))
        check = balancing.active
        self.probed: tuple[Probed | None, ...] = tuple(
            None if check is None else Probed(tenant, target.backend, check)
            for target in balancing.targets
        )
        self.usable = tuple(index for index, weight in enumerate(self.weights) if weight)
        self.selections = [0] * len(self.weights)


class Balancers(PolicyState):
    """The turns of all routes with several backends.

    An engine sets `loads`; `jitter` draws from 0 to 1.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.loads: Loads = {}
        self.jitter: Callable[[], float] = random.random
        self._routes: OrderedDict[str, RouteBalancer] = OrderedDict()
        self._selections = dict.fromkeys(ALGORITHMS, 0)
        self.panics = 0

    def families(self) -> Iterable[MetricFamily]:
        """Return how often backends were chosen, by algorithm, and how often all were unwell."""
        return [
            MetricFamily(
                "counter",
                "gateway_lb_selections_total",
                "Choices among several backends, by how they are made.",
                lambda: [({"strategy": name}, count) for name, count in self._selections.items()],
            ),
            MetricFamily(
                "counter",
                "stoa_backend_panics_total",
                "Choices among backends of which none was well.",
                lambda: self.panics,
            ),
        ]

    def preview(self) -> Balancers:
        """Return balancers that choose as these would, and keep and count nothing."""
        return _BalancerPreview(self)

    def of(self, route: Route, balancing: Balancing) -> RouteBalancer:
        """Return the balancer of a route: that of before unless its backends changed."""
        found = self._routes.get(route.id)
        if found is None or (
            found.balancing is not balancing and not _is_same_turn(found.balancing, balancing)
        ):
            found = self._routes[route.id] = RouteBalancer(balancing, route.tenant_id)
            if len(self._routes) > _MAX_ROUTES:
                self._routes.popitem(last=False)
        elif found.balancing is not balancing:
            # Other checks: whose turn it is stays.
            fresh = RouteBalancer(balancing, route.tenant_id)
            fresh.cycle, fresh.selections = found.cycle, found.selections
            found = self._routes[route.id] = fresh
        self._routes.move_to_end(route.id)
        return found

    def select(self, route: Route, balancer: RouteBalancer, candidates: Sequence[int]) -> int:
        """Return the index of the next backend among `candidates`, which is counted."""
        algorithm, weights, cycle = balancer.balancing.algorithm, balancer.weights, balancer.cycle
        if algorithm in IN_TURN:
            found = cycle.step(candidates, weights)
        else:
            load_of = partial(self._load_of, balancer.balancing, route.tenant_id)
            found = choose(algorithm, candidates, weights, cycle, load_of, self.jitter)
        self._selections[algorithm] += 1
        # By number: a backend's hash is that of five texts, and took 1 µs.
        balancer.selections[found] += 1
        return found

    def _load_of(self, balancing: Balancing, tenant: str, index: int) -> int:
        backend = balancing.targets[index].backend
        return self.loads.get((tenant, backend.host, backend.port), 0)


class _BalancerPreview(Balancers):
    def __init__(self, real: Balancers) -> None:
        super().__init__(real.clock)
        self.loads, self.jitter, self._real = real.loads, real.jitter, real

    def of(self, route: Route, balancing: Balancing) -> RouteBalancer:
        found = RouteBalancer(balancing, route.tenant_id)
        found.cycle.owed = list(self._real.of(route, balancing).cycle.owed)
        return found


def _is_same_turn(old: Balancing, new: Balancing) -> bool:
    return old.targets == new.targets and old.algorithm == new.algorithm
