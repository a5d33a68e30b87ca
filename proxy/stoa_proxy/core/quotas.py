"""Quotas: requests in calendar periods of UTC, counted so that a restart goes on with the count.

What changed is handed to whoever keeps it (`quota_file`), by `take_changed`, and comes back by
`restore`.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.foundation.clock import Clock

PERIODS: Final = ("hour", "day", "week", "month")

# As of rate limits (`config`): of one policy and of one tenant; beyond them callers share counters,
# so that a shared one counts too much for each and never too little.
PER_POLICY: Final = 10_000
PER_TENANT: Final = 50_000
_SHARED: Final = 1024
# Counters that are looked at with each request, and dropped when their period is over: more than a
# request can make.
SWEPT: Final = 2


class QuotaKey(NamedTuple):
    """What is counted: `subject` is chosen by callers, all else by whoever configures."""

    tenant: str
    policy: str
    api: str
    period: str
    kind: str
    subject: str


@dataclass(slots=True)
class QuotaCount:
    """`used` requests in the period from `start` to `end`, seconds since 1970."""

    used: int
    start: int
    end: int


class SavedCount(NamedTuple):
    """One count as it is kept over a restart."""

    key: QuotaKey
    start: int
    used: int


class Period(NamedTuple):
    """First and last second (exclusive) of a period, since 1970."""

    start: int
    end: int


def period_of(name: str, now: float) -> tuple[int, int]:
    """Return first and last second (exclusive) of a period that holds `now`, since 1970.

    Weeks begin on Monday (ISO 8601). All are in UTC, so there is neither summer nor winter time.
    """
    at = datetime.fromtimestamp(math.floor(now), UTC).replace(minute=0, second=0, microsecond=0)
    if name == "hour":
        return _seconds(at), _seconds(at + timedelta(hours=1))
    at = at.replace(hour=0)
    if name == "day":
        return _seconds(at), _seconds(at + timedelta(days=1))
    if name == "week":
        at -= timedelta(days=at.weekday())
        return _seconds(at), _seconds(at + timedelta(days=7))
    at = at.replace(day=1)
    # 32 days after the first of a month are always in the next one.
    return _seconds(at), _seconds((at + timedelta(days=32)).replace(day=1))


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


class QuotaCounters(PolicyState):
    """The counts of all quotas, those that were counted longest ago first."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._counts: OrderedDict[QuotaKey, QuotaCount] = OrderedDict()
        self._of_policy: Counter[tuple[str, str, str]] = Counter()
        self._of_tenant: Counter[str] = Counter()
        self._periods: dict[str, Period] = {}
        # None: nobody keeps what changes.
        self._changed: dict[QuotaKey, None] | None = None
        self._shared_requests = 0
        # How often a count was set back: what is kept of it is too much then.
        self.resets = 0

    def __len__(self) -> int:
        return len(self._counts)

    def families(self) -> Iterable[MetricFamily]:
        """Return how many counts there are, and how many requests shared one."""
        return [
            MetricFamily(
                "gauge", "stoa_quota_counters", "Counters of quotas.", lambda: len(self), "here"
            ),
            MetricFamily(
                "counter",
                "stoa_quota_shared_total",
                "Requests whose callers shared a counter of a quota.",
                lambda: self._shared_requests,
            ),
        ]

    def hit(self, key: QuotaKey, requests: int) -> LimitResult:
        """Count one request where `requests` allow it, else none."""
        now = self._now()
        period = self._period(key.period, now)
        self._sweep(now)
        count = self._counts.get(key)
        if count is None and not self._has_room(key):
            self._shared_requests += 1
            key = shared_key(key)
            count = self._counts.get(key)
        # A clock that went back finds counts of a later period: those go on.
        if count is None or count.start < period.start:
            count = self._begin(key, period)
        is_allowed = count.used < requests
        if is_allowed:
            count.used += 1
            self._counts.move_to_end(key)
            if self._changed is not None:
                self._changed[key] = None
        return quota_result(count, requests, now, is_allowed=is_allowed)

    def preview(self) -> QuotaCounters:
        """Return counters that say what these would say, and count nothing."""
        return _QuotaPreview(self)

    def peek(self, key: QuotaKey) -> int:
        """Return how many requests count in the period that goes on."""
        count = self._counts.get(key)
        if count is None and not self._has_room(key):
            count = self._counts.get(shared_key(key))
        is_over = count is None or count.start < self._period(key.period, self._now()).start
        return 0 if count is None or is_over else count.used

    def known(self) -> list[QuotaKey]:
        """Return what is counted in a period that goes on."""
        now = self._now()
        return [key for key, count in self._counts.items() if count.end > now]

    def find(self, key: QuotaKey) -> QuotaCount | None:
        """Return the count of a key in the period that goes on, if there is one."""
        count = self._counts.get(key)
        return None if count is None or count.end <= self._now() else count

    def reset(self, keys: Iterable[QuotaKey]) -> None:
        """Begin to count anew in the period that goes on."""
        for key in keys:
            count = self.find(key)
            if count is not None:
                count.used = 0
                self.resets += 1

    def watch(self) -> None:
        """Remember from now on what changes, for `take_changed`."""
        self._changed = {}

    def take_changed(self) -> list[SavedCount]:
        """Return what changed since the last call."""
        changed, self._changed = self._changed or {}, {}
        return [
            SavedCount(key, self._counts[key].start, self._counts[key].used)
            for key in changed
            if key in self._counts
        ]

    def put_back(self, saved: Iterable[SavedCount]) -> None:
        """Count as changed what was taken and could not be kept."""
        if self._changed is not None:
            self._changed.update(dict.fromkeys(one.key for one in saved))

    def snapshot(self) -> list[SavedCount]:
        """Return all counts."""
        return [SavedCount(key, count.start, count.used) for key, count in self._counts.items()]

    def restore(self, saved: Iterable[SavedCount]) -> None:
        """Take counts over whose period is not over; nothing that is here counts less for it."""
        now = self.clock.now().timestamp()
        for key, start, used in saved:
            begin, end = period_of(key.period, start)
            if begin != start or end <= now:
                continue
            held = self._counts.get(key)
            if held is None:
                held = self._begin(key, Period(begin, end))
            if held.start == start:
                held.used = max(held.used, used)

    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _begin(self, key: QuotaKey, period: Period) -> QuotaCount:
        if key not in self._counts:
            self._of_policy[key[:3]] += 1
            self._of_tenant[key.tenant] += 1
        count = self._counts[key] = QuotaCount(0, *period)
        return count

    def _period(self, name: str, now: float) -> Period:
        period = self._periods.get(name)
        if period is None or not period.start <= now < period.end:
            period = self._periods[name] = Period(*period_of(name, now))
        return period

    def _has_room(self, key: QuotaKey) -> bool:
        return self._of_policy[key[:3]] < PER_POLICY and self._of_tenant[key.tenant] < PER_TENANT

    def _sweep(self, now: float) -> None:
        for _ in range(min(SWEPT, len(self._counts))):
            key = next(iter(self._counts))
            if self._counts[key].end > now:
                self._counts.move_to_end(key)
                continue
            del self._counts[key]
            self._decrease(key)

    def _decrease(self, key: QuotaKey) -> None:
        """Count one less of a policy and of a tenant, and forget what has none."""
        _decrease(self._of_policy, key[:3])
        _decrease(self._of_tenant, key.tenant)


class _QuotaPreview(QuotaCounters):
    def __init__(self, counters: QuotaCounters) -> None:
        super().__init__(counters.clock)
        self._counters = counters

    def hit(self, key: QuotaKey, requests: int) -> LimitResult:
        used, now = self._counters.peek(key), self._now()
        is_allowed = used < requests
        count = QuotaCount(used + is_allowed, *period_of(key.period, now))
        return quota_result(count, requests, now, is_allowed=is_allowed)


def shared_key(key: QuotaKey) -> QuotaKey:
    """Return the key of the count that a caller beyond the bounds has in common with others."""
    # The same after a restart, unlike the hash of Python.
    shared = zlib.crc32(key.subject.encode("utf-8", "surrogatepass")) % _SHARED
    return key._replace(kind="shared", subject=str(shared))


def quota_result(
    count: QuotaCount, requests: int, now: float, *, is_allowed: bool = False
) -> LimitResult:
    """Return what a count says of a request; it is counted already where it is allowed."""
    left, window = max(0, requests - count.used), count.end - count.start
    return LimitResult(is_allowed, requests, left, max(0.0, count.end - now), window, "quota")


def _decrease(counts: Counter[tuple[str, str, str]] | Counter[str], key: object) -> None:
    """Count one less, and forget what has none."""
    left: Counter[object] = counts  # type: ignore[assignment]  # either, by its own keys
    left[key] -= 1
    if not left[key]:
        del left[key]
