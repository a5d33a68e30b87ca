"""Counts of quotas of several processes: each counts where all others do (`shared_counters`)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.quotas import (
    PER_POLICY,
    PER_TENANT,
    SWEPT,
    Period,
    QuotaCount,
    QuotaCounters,
    QuotaKey,
    SavedCount,
    period_of,
    quota_result,
    shared_key,
)
from stoa_proxy.core.shared_slots import Figures, Place, SlotTable
from stoa_proxy.foundation.clock import Clock


class SharedQuotaCounters(QuotaCounters):
    """The counts of `slots`, which other processes use, too; `parts` of them share the bounds.

    Every count is known by name to the processes that counted it alone: they hand the names over by
    `take_changed_keys`, and whoever keeps counts takes them by `note_changed`.
    """

    def __init__(self, clock: Clock, slots: SlotTable, parts: int = 1) -> None:
        super().__init__(clock)
        self._slots = slots
        self._per_policy, self._per_tenant = -(-PER_POLICY // parts), -(-PER_TENANT // parts)
        # Those that this process knows by name, and until when they count.
        self._ends: OrderedDict[QuotaKey, int] = OrderedDict()
        self._changed_keys: dict[QuotaKey, None] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def hit(self, key: QuotaKey, requests: int) -> LimitResult:
        """Count one request where `requests` allow it, else none."""
        result = self._hit(key, requests, is_new=False)
        if result is None:
            self._sweep(self._now())
            if self._has_room(key):
                result = self._hit(key, requests, is_new=True)
        if result is None:
            self._shared_requests += 1
            result = self._hit(shared_key(key), requests, is_new=True)
        if result is None:
            # That part of the table is full of counts that still count: none is forgotten.
            now = self._now()
            return quota_result(QuotaCount(requests, *period_of(key.period, now)), requests, now)
        return result

    def peek(self, key: QuotaKey) -> int:
        """Return how many requests count in the period that goes on."""
        start = self._period(key.period, self._now()).start
        for one in (key, shared_key(key)):
            figures = self._read(one)
            if figures is not None:
                return int(figures.used) if figures.at >= start else 0
            if self._has_room(key):
                return 0
        return 0

    def known(self) -> list[QuotaKey]:
        """Return what is known by name, and counted in a period that goes on."""
        now = self._now()
        return [key for key, end in self._ends.items() if end > now]

    def find(self, key: QuotaKey) -> QuotaCount | None:
        """Return the count of a key in the period that goes on, if there is one."""
        figures = self._read(key)
        if figures is None or figures.expires <= self._now():
            return None
        return QuotaCount(int(figures.used), int(figures.at), int(figures.expires))

    def reset(self, keys: Iterable[QuotaKey]) -> None:
        """Begin to count anew in the period that goes on, in all processes."""
        for key in keys:
            place = self._slots.place(key)
            self._slots.lock(place.locks)
            try:
                slot = self._slots.find(place)
                if slot is None:
                    continue
                figures = self._slots.read(slot)
                self._slots.write(slot, Figures(0, figures.at, figures.expires))
            finally:
                self._slots.unlock(place.locks)
            self.resets += 1

    def take_changed_keys(self) -> list[QuotaKey]:
        """Return what this process counted since the last call."""
        changed, self._changed_keys = self._changed_keys, {}
        return list(changed)

    def note_changed(self, keys: Iterable[QuotaKey]) -> None:
        """Take over what another process counted."""
        for key in keys:
            figures = self._read(key)
            if figures is None:
                continue
            self._note_end(key, int(figures.expires))
            self._sweep(self._now())
            if self._changed is not None:
                self._changed[key] = None

    def take_changed(self) -> list[SavedCount]:
        """Return what changed since the last call."""
        changed, self._changed = self._changed or {}, {}
        return self._saved(changed)

    def snapshot(self) -> list[SavedCount]:
        """Return all counts that are known by name."""
        self._sweep(self._now(), len(self._ends))
        return self._saved(self._ends)

    def restore(self, saved: Iterable[SavedCount]) -> None:
        """Take counts over whose period is not over; nothing that is here counts less for it."""
        now = self._now()
        for key, start, used in saved:
            begin, end = period_of(key.period, start)
            if begin != start or end <= now:
                continue
            if not self._add(key, QuotaCount(used, begin, end), now):
                self._add(shared_key(key), QuotaCount(used, begin, end), now)

    def _hit(self, key: QuotaKey, requests: int, *, is_new: bool) -> LimitResult | None:
        """Count a request on one count; None where there is none, and none can be made."""
        slots = self._slots
        place = slots.place(key)
        slots.lock(place.locks)
        try:
            now = self._now()
            slot = slots.find(place)
            if slot is None and not is_new:
                return None
            count = self._count_at(slot, self._period(key.period, now))
            if count.used >= requests:
                return quota_result(count, requests, now)
            count.used += 1
            figures = Figures(count.used, count.start, count.end)
            if slot is not None:
                slots.write(slot, figures)
            elif not slots.take(place, figures, now):
                return None
        finally:
            slots.unlock(place.locks)
        self._changed_keys[key] = None
        self._note_end(key, count.end)
        return quota_result(count, requests, now, is_allowed=True)

    def _count_at(self, slot: int | None, period: Period) -> QuotaCount:
        if slot is not None:
            used, start, end, *_ = self._slots.read(slot)
            # A clock that went back finds counts of a later period: those go on.
            if start >= period.start:
                return QuotaCount(int(used), int(start), int(end))
        return QuotaCount(0, *period)

    def _add(self, key: QuotaKey, kept: QuotaCount, now: float) -> bool:
        """Take a count over; False where there is no room for it."""
        place = self._slots.place(key)
        self._slots.lock(place.locks)
        try:
            slot = self._slots.find(place)
            there = None if slot is None else self._slots.read(slot)
            if there is not None and there.at > kept.start:
                return True
            used = kept.used if there is None or there.at < kept.start else int(there.used)
            figures = Figures(max(used, kept.used), kept.start, kept.end)
            if slot is not None:
                self._slots.write(slot, figures)
            elif not self._slots.take(place, figures, now):
                return False
        finally:
            self._slots.unlock(place.locks)
        self._note_end(key, kept.end)
        return True

    def _read(self, key: QuotaKey) -> Figures | None:
        place: Place = self._slots.place(key)
        self._slots.lock(place.locks)
        try:
            slot = self._slots.find(place)
            return None if slot is None else self._slots.read(slot)
        finally:
            self._slots.unlock(place.locks)

    def _saved(self, keys: Iterable[QuotaKey]) -> list[SavedCount]:
        read = ((key, self._read(key)) for key in keys)
        return [
            SavedCount(key, int(figures.at), int(figures.used))
            for key, figures in read
            if figures is not None
        ]

    def _note_end(self, key: QuotaKey, end: int) -> None:
        if key not in self._ends:
            self._of_policy[key[:3]] += 1
            self._of_tenant[key.tenant] += 1
        self._ends[key] = end

    def _has_room(self, key: QuotaKey) -> bool:
        is_within_policy = self._of_policy[key[:3]] < self._per_policy
        return is_within_policy and self._of_tenant[key.tenant] < self._per_tenant

    def _sweep(self, now: float, most: int = SWEPT) -> None:
        for _ in range(min(most, len(self._ends))):
            key = next(iter(self._ends))
            if self._ends[key] > now:
                self._ends.move_to_end(key)
                continue
            del self._ends[key]
            self._decrease(key)
