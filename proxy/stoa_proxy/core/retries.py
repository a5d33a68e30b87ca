"""How often and when a request is tried again, and the budget that all of an API have for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.errors import NO_RESPONSE
from stoa_proxy.foundation.clock import Clock

# RFC 9110, 9.2.2. TRACE is idempotent, too, and never forwarded (`core.match`).
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

# A failing upstream gets a fifth more requests by retries, whatever their number, and one a second
# where there are few; what was not used adds up to a hundred.
_SHARE: Final = 0.2
_PER_SECOND: Final = 1.0
_FIRST: Final = 10.0
_MOST: Final = 100.0
# APIs; the one that was asked for longest ago is forgotten, and begins anew.
_MAX_APIS: Final = 10_000


class RetryRules(NamedTuple):
    """At most `retries` further attempts, after failures of these `reasons` and these `statuses`.

    Pauses double from `first_pause` to `longest_pause`, in seconds. `methods` are those that are
    tried again, with a body only if that can be sent again.
    """

    retries: int
    # Not `denied`, for a refused address stays refused, nor `timeout`: the time is used up.
    reasons: frozenset[str] = NO_RESPONSE
    statuses: frozenset[int] = frozenset()
    first_pause: float = 0.05
    longest_pause: float = 1.0
    methods: frozenset[str] = IDEMPOTENT


_OF_ROUTES: Final = tuple(RetryRules(retries) for retries in range(11))
NO_RETRY: Final = _OF_ROUTES[0]


def route_rules(retries: int) -> RetryRules:
    """Return the rules of a route's own `retries`."""
    return _OF_ROUTES[retries] if retries < len(_OF_ROUTES) else RetryRules(retries)


class RetryBudgets(PolicyState):
    """What APIs may still try again, so that retries never multiply the load of a failure."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        # API: what is left, and when that was.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._retries = {"made": 0, "refused": 0}

    def families(self) -> Iterable[MetricFamily]:
        """Return how many retries were made, and how many the budget refused."""
        return [
            MetricFamily(
                "counter",
                "stoa_upstream_retries_total",
                "Further attempts of requests: made, and refused by the budget of their API.",
                lambda: [({"result": name}, count) for name, count in self._retries.items()],
            )
        ]

    def deposit(self, api_id: str) -> None:
        """Note a request that may be tried again."""
        left, now = self._balance(api_id)
        self._keep(api_id, left + _SHARE, now)

    def withdraw(self, api_id: str) -> bool:
        """Whether one more attempt may be made, which is noted."""
        left, now = self._balance(api_id)
        if left < 1.0 - 1e-9:  # five fifths make one
            self._retries["refused"] += 1
            return False
        self._retries["made"] += 1
        self._keep(api_id, left - 1.0, now)
        return True

    def _balance(self, api_id: str) -> tuple[float, float]:
        now = self.clock.monotonic()
        left, at = self._left.get(api_id, (_FIRST, now))
        return left + (now - at) * _PER_SECOND, now

    def _keep(self, api_id: str, left: float, now: float) -> None:
        self._left[api_id] = (min(_MOST, left), now)
        self._left.move_to_end(api_id)
        if len(self._left) > _MAX_APIS:
            self._left.popitem(last=False)
