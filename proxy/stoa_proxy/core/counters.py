"""Counters of rate limits, of one process: checked and counted in one step, bounded in number.

Callers create counters (by addresses, by header values), so each tenant and each policy of its APIs
may have so many of its own. Beyond them callers share counters: a shared one counts too much for
each, and never too little, so no caller is forgotten for the sake of another.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from stoa_proxy.config import COUNTERS_PER_POLICY, COUNTERS_PER_TENANT
from stoa_proxy.core.limits import (
    Count,
    Limit,
    LimitResult,
    add,
    advance,
    check,
    deciding,
    fresh,
    taken_over,
)
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.limits")

Key = tuple[str, ...]
"""The policy or plan, and last what is counted, which callers may choose."""

Hit = Callable[[], LimitResult]
"""Counts one request."""

# For callers of one policy beyond its own counters, 16 KiB in all.
_SHARED = 1024
# Requests between two looks at old counters, and how many are looked at: two for each request, so
# that counters go faster than requests can create them.
_SWEEP_REQUESTS, _SWEEP_COUNTERS = 8, 16


class TenantFigures(NamedTuple):
    """What one tenant's APIs have: counters now, and requests that shared ones have counted."""

    tenant: str
    counters: int
    shared_requests: int


class RateCounters:
    """All rate counters of a process, by tenant and key. Not shared between processes or threads.

    A tenant has `per_tenant` counters at most and each of its policies `per_policy`; expired ones
    are dropped. What is beyond shares 1,024 counters for each policy.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        per_policy: int = COUNTERS_PER_POLICY,
        per_tenant: int = COUNTERS_PER_TENANT,
    ) -> None:
        self._clock = clock
        self._per_policy = per_policy
        self._per_tenant = per_tenant
        self._throttled_log = ThrottledLog(_log, clock)
        self._tenants: dict[str, _TenantCounters] = {}

    def __len__(self) -> int:
        return sum(len(tenant.counters) for tenant in self._tenants.values())

    def figures(self) -> Iterator[TenantFigures]:
        """Yield the figures of each tenant whose APIs have counted requests, by name."""
        for name, tenant in sorted(self._tenants.items()):
            yield TenantFigures(name, len(tenant.counters), tenant.shared_requests)

    def hit(self, tenant_id: str, limits: Sequence[tuple[Key, Limit]]) -> LimitResult:
        """Count one request against all `(key, limit)` if all of them allow it, else against none.

        `tenant_id` is the tenant of the API. Returns the result of the limit that refuses longest,
        or that has the least left.
        """
        now = self._clock.monotonic()
        tenant = self._tenant(tenant_id)
        tenant.expire(now)
        if len(limits) == 1:  # nearly all requests
            return tenant.hit_one(*limits[0], now)
        return tenant.hit_all(limits, now)

    def repeat(self, tenant_id: str, limits: Sequence[tuple[Key, Limit]]) -> Hit:
        """Return what does for one request after the other what `hit` does."""
        if len(limits) == 1 and limits[0][1].is_fixed:
            return self._tenant(tenant_id).repeat_window(*limits[0], self._clock)
        return partial(self.hit, tenant_id, limits)

    def _tenant(self, tenant_id: str) -> _TenantCounters:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            # Tenants are those of routes: operators decide how many there are.
            tenant = self._tenants[tenant_id] = _TenantCounters(
                tenant_id, self._per_policy, self._per_tenant, self._throttled_log
            )
        return tenant

    def preview(self) -> RateCounters:
        """Return counters that say what these would say, and count nothing."""
        return _CounterPreview(self._clock, self._tenants)


class _CounterPreview(RateCounters):
    def __init__(self, clock: Clock, tenants: dict[str, _TenantCounters]) -> None:
        super().__init__(clock)
        self._tenants = tenants

    def hit(self, tenant_id: str, limits: Sequence[tuple[Key, Limit]]) -> LimitResult:
        now, tenant = self._clock.monotonic(), self._tenants.get(tenant_id)
        if tenant is None:
            return deciding([check(limit, fresh(limit, now), now) for _, limit in limits])
        return deciding([tenant.peek(key, limit, now) for key, limit in limits])

    def repeat(self, tenant_id: str, limits: Sequence[tuple[Key, Limit]]) -> Hit:
        return partial(self.hit, tenant_id, limits)


class _TenantCounters:
    """The counters of one tenant's APIs, those that were checked longest ago first."""

    __slots__ = (
        "_name", "_per_policy", "_per_tenant", "_shared", "_sizes", "_throttled_log", "_unswept",
        "counters", "shared_requests",
    )  # fmt: skip

    def __init__(self, name: str, per_policy: int, per_tenant: int, log: ThrottledLog) -> None:
        self._name = name
        self._per_policy = per_policy
        self._per_tenant = per_tenant
        self._throttled_log = log
        # Ordered: a dict of 50,000 that lost its first ones takes 7 µs to find the next.
        self.counters: OrderedDict[Key, Count] = OrderedDict()
        # By all of a key but what callers choose: of how many counters, and those that are shared.
        self._sizes: Counter[Key] = Counter()
        self._shared: dict[Key, _SharedCounters] = {}
        self.shared_requests = 0
        self._unswept = 0

    def hit_one(self, key: Key, limit: Limit, now: float) -> LimitResult:
        kept = self.counters.get(key)
        if kept is not None and limit.is_fixed and now - kept.at < limit.window:
            # Nearly all requests: a window that goes on is there already, and stays where it is.
            left = limit.requests - kept.used
            if left < 1:
                return check(limit, kept, now)
            kept.used += 1
            kept.expires = ends = kept.at + limit.window
            return LimitResult(True, limit.requests, int(left - 1), ends - now, limit.window)
        found = self._find(key, limit, now)
        result = check(found.limit, found.counter, now)
        if result.allowed:
            self._count(key, found)
        return result

    def repeat_window(self, key: Key, limit: Limit, clock: Clock) -> Hit:
        """Return what does `expire` and `hit_one` for a fixed window.

        It looks for a counter once in a window: until then none takes the place of one that counts.
        """
        requests, window, monotonic = limit.requests, limit.window, clock.monotonic
        # Making a named tuple by its class takes twice as long.
        make = tuple.__new__
        kept: Count | None = None

        def hit() -> LimitResult:
            nonlocal kept
            now = monotonic()
            self._unswept += 1
            if self._unswept >= _SWEEP_REQUESTS:
                self._sweep(now)
            if kept is None or now >= kept.expires:
                result = self.hit_one(key, limit, now)
                kept = self.counters.get(key)
                return result
            left = requests - kept.used
            if left < 1:
                return check(limit, kept, now)
            kept.used += 1
            ends = kept.expires
            values = (True, requests, int(left - 1), ends - now, window, "rate")
            return make(LimitResult, values)

        return hit

    def hit_all(self, limits: Sequence[tuple[Key, Limit]], now: float) -> LimitResult:
        current = [(key, self._find(key, limit, now)) for key, limit in limits]
        result = deciding([check(found.limit, found.counter, now) for _, found in current])
        if result.allowed:
            for key, found in current:
                self._count(key, found)
        return result

    def peek(self, key: Key, limit: Limit, now: float) -> LimitResult:
        """Return what a limit would say now, without making a counter."""
        count = self.counters.get(key)
        if count is not None:
            return check(limit, advance(count, limit, now), now)
        shared = self._shared.get(key[:-1])
        if shared is None:
            return check(limit, fresh(limit, now), now)
        return check(limit.shared, advance(shared.load(key, now), limit.shared, now), now)

    def expire(self, now: float) -> None:
        """Check counters that were checked longest ago, and drop those that have expired."""
        self._unswept += 1
        if self._unswept >= _SWEEP_REQUESTS:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        self._unswept = 0
        counters = self.counters
        for _ in range(min(_SWEEP_COUNTERS, len(counters))):
            key = next(iter(counters))
            if counters[key].expires > now:
                counters.move_to_end(key)
            else:
                del counters[key]
                self._forget(key)
        for _ in range(min(_SWEEP_REQUESTS, len(self._shared))):
            self._expire_shared(now)

    def _expire_shared(self, now: float) -> None:
        owner = next(iter(self._shared))
        shared = self._shared.pop(owner)
        if shared.expires > now:
            self._shared[owner] = shared

    def _find(self, key: Key, limit: Limit, now: float) -> _Found:
        """Return the counter of a key as it is now, and where it is from when it is shared."""
        count = self.counters.get(key)
        if count is not None:
            return _Found(advance(count, limit, now), limit)
        owner = key[:-1]
        shared = self._shared.get(owner)
        if self._has_room(owner):
            if shared is None:
                return _Found(fresh(limit, now), limit)
            # Who shared a counter begins with what that one says, not with a new allowance.
            return _Found(taken_over(shared.load(key, now), limit, now), limit)
        if shared is None:
            shared = self._shared[owner] = _SharedCounters()
            self._throttled_log.warning(
                "rate limits have more callers than counters, so some share them: %s tenant=%s",
                " ".join(owner[:3]),
                self._name,
                subject=self._name,
            )
        self.shared_requests += 1
        return _Found(advance(shared.load(key, now), limit.shared, now), limit.shared, shared)

    def _has_room(self, owner: Key) -> bool:
        return len(self.counters) < self._per_tenant and self._sizes[owner] < self._per_policy

    def _count(self, key: Key, found: _Found) -> None:
        add(found.counter, found.limit)
        if found.shared is not None:
            found.shared.store(key, found.counter)
            return
        old = self.counters.get(key)
        if old is None:
            self._sizes[key[:-1]] += 1
        elif old is not found.counter:
            old.expires = -math.inf  # nobody counts on it any more (`repeat_window`)
        self.counters[key] = found.counter

    def _forget(self, key: Key) -> None:
        owner = key[:-1]
        self._sizes[owner] -= 1
        if not self._sizes[owner]:
            del self._sizes[owner]


class _Found(NamedTuple):
    """A counter as it is now, the limit that it is counted by, and where it is from if shared."""

    counter: Count
    limit: Limit
    shared: _SharedCounters | None = None


class _SharedCounters:
    """A fixed number of counters, each for all keys of one hash; dropped after `expires`."""

    __slots__ = ("_at", "_used", "expires")

    def __init__(self) -> None:
        self._used = array("d", bytes(8 * _SHARED))
        self._at = array("d", bytes(8 * _SHARED))
        self.expires = float("inf")  # until something is counted

    def load(self, key: Key, now: float) -> Count:
        # Python's hash of text differs from process to process: nobody can choose whom to meet.
        slot = hash(key) % _SHARED
        if not self._used[slot]:
            return Count(0.0, now, now)
        return Count(self._used[slot], self._at[slot], self.expires)

    def store(self, key: Key, count: Count) -> None:
        slot = hash(key) % _SHARED
        self._used[slot], self._at[slot] = count.used, count.at
        is_first = math.isinf(self.expires)
        self.expires = count.expires if is_first else max(self.expires, count.expires)
