"""Counters of rate limits of several processes: each counts where all others do.

So a limit is the same whichever process has a request, and lets no more through than one process
would. What a caller's counter says is known to all at once, and is kept when a process is killed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from stoa_proxy.core.counters import Hit, Key, RateCounters, TenantFigures
from stoa_proxy.core.limits import (
    Count,
    Limit,
    LimitResult,
    SlidingCount,
    add,
    advance,
    check,
    deciding,
    fresh,
    taken_over,
)
from stoa_proxy.core.shared_slots import Figures, Place, SlotTable
from stoa_proxy.foundation.clock import Clock

_SHARED: Final = 1024
# As of `counters`: more are looked at with a request than it can make.
_SWEPT: Final = 2


class SharedRateCounters(RateCounters):
    """The rate counters of `slots`, which other processes use, too.

    What this process made counts towards its bounds; whoever made a counter, all use it. Beyond the
    bounds callers share 1,024 counters for each policy. Where a part of the table is full requests
    are refused: a counter that still counts is forgotten for nobody.
    """

    def __init__(self, clock: Clock, slots: SlotTable, *, per_policy: int, per_tenant: int) -> None:
        super().__init__(clock, per_policy=per_policy, per_tenant=per_tenant)
        self._slots = slots
        self._made: dict[str, _Made] = {}

    def __len__(self) -> int:
        return sum(len(made.expiries) for made in self._made.values())

    def figures(self) -> Iterator[TenantFigures]:
        """Yield the figures of what this process made and counted, by tenant."""
        for name, made in sorted(self._made.items()):
            yield TenantFigures(name, len(made.expiries), made.shared_requests)

    def repeat(self, tenant_id: str, limits: Sequence[tuple[Key, Limit]]) -> Hit:
        """Return what does for one request after the other what `hit` does."""
        return partial(self.hit, tenant_id, limits)

    def hit(self, tenant_id: str, limits: Sequence[tuple[Key, Limit]]) -> LimitResult:
        """Count one request against all `(key, limit)` if all of them allow it, else against none.

        Returns the result of the limit that refuses longest, or that has the least left.
        """
        slots = self._slots
        if len(limits) == 1:  # nearly all requests
            result = self._hit_own(*limits[0])
            if result is not None:
                return result
        wanted = [_Wanted(key, limit, slots.place(key)) for key, limit in limits]
        locks = sorted({one.place.lock for one in wanted})
        slots.lock(locks)
        try:
            # Not before: time would go back between two processes.
            now = self._clock.monotonic()
            found = [self._find_own(one, now) for one in wanted]
            there = [one for one in found if one is not None]
            if len(there) == len(found):
                return self._count(there, now)
        finally:
            slots.unlock(locks)
        return self._hit_first(tenant_id, wanted)

    def _hit_own(self, key: Key, limit: Limit) -> LimitResult | None:
        """Count on the counter of a key, if it has one."""
        slots = self._slots
        place = slots.place(key)
        slots.lock(place.locks)
        try:
            now = self._clock.monotonic()
            slot = slots.find(place)
            if slot is None:
                return None
            counter = advance(_as_count(slots.read(slot), limit), limit, now)
            result = check(limit, counter, now)
            if result.allowed:
                add(counter, limit)
                slots.write(slot, _as_figures(counter))
            return result
        finally:
            slots.unlock(place.locks)

    def preview(self) -> RateCounters:
        """Return counters that say what these would say, and count nothing."""
        return _SharedPreview(self._clock, self)

    def peek(self, key: Key, limit: Limit, now: float) -> LimitResult:
        """Return what a limit would say now, without making a counter."""
        wanted = _Wanted(key, limit, self._slots.place(key))
        shared = self._shared_place(wanted)
        locks = sorted({wanted.place.lock, shared.lock})
        self._slots.lock(locks)
        try:
            found = self._find_own(wanted, now)
            if found is None:
                slot = self._slots.find(shared)
                count = fresh(limit, now) if slot is None else self._take_over(wanted, slot, now)
                return check(limit, count, now)
            return check(limit, found.counter, now)
        finally:
            self._slots.unlock(locks)

    def _hit_first(self, tenant_id: str, wanted: Sequence[_Wanted]) -> LimitResult:
        """Count a request for which there is a counter to make, or one to share."""
        made = self._made.get(tenant_id)
        if made is None:
            # Tenants are those of routes: operators decide how many there are.
            made = self._made[tenant_id] = _Made()
        self._sweep(made)
        shared = [self._shared_place(one) for one in wanted]
        locks = sorted({one.place.lock for one in wanted} | {place.lock for place in shared})
        self._slots.lock(locks)
        try:
            now = self._clock.monotonic()
            found = [
                self._find_own(one, now) or self._make(made, tenant_id, one, place, now)
                for one, place in zip(wanted, shared, strict=True)
            ]
            return self._count(found, now)
        finally:
            self._slots.unlock(locks)

    def _sweep(self, made: _Made) -> None:
        """Look at counters that were made, or looked at, longest ago; forget the expired ones."""
        now = self._clock.monotonic()
        for _ in range(min(_SWEPT, len(made.expiries))):
            key = next(iter(made.expiries))
            if made.expiries[key] <= now:
                expires = self._read_expiry(self._slots.place(key))
                if expires <= now:
                    made.forget(key)
                    continue
                made.expiries[key] = expires
            made.expiries.move_to_end(key)

    def _read_expiry(self, place: Place) -> float:
        self._slots.lock(place.locks)
        try:
            slot = self._slots.find(place)
            return 0.0 if slot is None else self._slots.read(slot).expires
        finally:
            self._slots.unlock(place.locks)

    def _find_own(self, wanted: _Wanted, now: float) -> _Found | None:
        slot = self._slots.find(wanted.place)
        if slot is None:
            return None
        count = advance(_as_count(self._slots.read(slot), wanted.limit), wanted.limit, now)
        return _Found(wanted.limit, wanted.place, count, slot)

    def _make(
        self, made: _Made, tenant_id: str, wanted: _Wanted, shared: Place, now: float
    ) -> _Found:
        """Return a counter for a key that has none, or the one that it shares."""
        slot = self._slots.find(shared)
        if self._has_room(made, wanted.key):
            # Who shared a counter begins with what that one says, not with a new allowance.
            count = fresh(wanted.limit, now) if slot is None else self._take_over(wanted, slot, now)
            return _Found(wanted.limit, wanted.place, count, None, made, wanted.key)
        if not made.shared_requests:
            self._throttled_log.warning(
                "rate limits have more callers than counters, so some share them: %s tenant=%s",
                " ".join(wanted.key[:3]),
                tenant_id,
                subject=tenant_id,
            )
        made.shared_requests += 1
        limit = wanted.limit.shared
        if slot is None:
            return _Found(limit, shared, fresh(limit, now), None)
        count = advance(_as_count(self._slots.read(slot), limit), limit, now)
        return _Found(limit, shared, count, slot)

    def _take_over(self, wanted: _Wanted, slot: int, now: float) -> Count:
        shared = _as_count(self._slots.read(slot), wanted.limit.shared)
        return taken_over(shared, wanted.limit, now)

    def _has_room(self, made: _Made, key: Key) -> bool:
        return len(made.expiries) < self._per_tenant and made.of_policy[key[:-1]] < self._per_policy

    def _shared_place(self, wanted: _Wanted) -> Place:
        number = int.from_bytes(wanted.place.digest[8:], "little") % _SHARED
        return self._slots.place((*wanted.key[:-1], "", f"shared {number}"))

    def _count(self, found: Sequence[_Found], now: float) -> LimitResult:
        """Count a request if all limits allow it; the locks of their counters are held."""
        result = deciding([check(one.limit, one.counter, now) for one in found])
        if not result.allowed:
            return result
        for one in found:
            add(one.counter, one.limit)
            figures = _as_figures(one.counter)
            if one.slot is not None:
                self._slots.write(one.slot, figures)
            elif not self._slots.take(one.place, figures, now):
                # What was counted before in this loop stays: too much, never too little.
                return result._replace(allowed=False, remaining=0, reset=one.limit.window)
            elif one.made is not None:
                one.made.note(one.key, one.counter.expires)
        return result


class _SharedPreview(RateCounters):
    def __init__(self, clock: Clock, counters: SharedRateCounters) -> None:
        super().__init__(clock)
        self._counters = counters

    def hit(self, tenant_id: str, limits: Sequence[tuple[Key, Limit]]) -> LimitResult:
        now = self._clock.monotonic()
        return deciding([self._counters.peek(key, limit, now) for key, limit in limits])


class _Made:
    """The counters that this process made for one tenant, by when they expire at the earliest."""

    __slots__ = ("expiries", "of_policy", "shared_requests")

    def __init__(self) -> None:
        self.expiries: OrderedDict[Key, float] = OrderedDict()
        self.of_policy: Counter[Key] = Counter()
        self.shared_requests = 0

    def note(self, key: Key, expires: float) -> None:
        """Note a counter that was made."""
        if key not in self.expiries:
            self.of_policy[key[:-1]] += 1
        self.expiries[key] = expires

    def forget(self, key: Key) -> None:
        """Forget a counter that has expired."""
        del self.expiries[key]
        self.of_policy[key[:-1]] -= 1
        if not self.of_policy[key[:-1]]:
            del self.of_policy[key[:-1]]


class _Wanted(NamedTuple):
    """What a request is counted against, and where that is."""

    key: Key
    limit: Limit
    place: Place


class _Found(NamedTuple):
    """A counter as it is now; without a `slot` it is to be made, and noted in `made`."""

    limit: Limit
    place: Place
    counter: Count
    slot: int | None
    made: _Made | None = None
    key: Key = ()


def _as_count(figures: Figures, limit: Limit) -> Count:
    used, at, expires, seconds, tenths = figures
    if seconds and limit.is_sliding:
        return SlidingCount(used, at, expires, seconds, list(tenths))
    return Count(used, at, expires)


def _as_figures(count: Count) -> Figures:
    if isinstance(count, SlidingCount):
        return Figures(count.used, count.at, count.expires, count.seconds, count.tenths)
    return Figures(count.used, count.at, count.expires)
