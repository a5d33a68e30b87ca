"""Records of requests that were answered 500 or above, bounded by tenant. No I/O.

What one tenant's errors take is never taken from another one: a tenant has its share, and where all
together have too many, the one that has most gives way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from stoa_proxy.foundation.metrics import Kind, Read

MAX_SNAPSHOTS: Final = 2_000
"""Of all tenants together; one has 2 to 10 KiB."""

EACH_SECOND: Final = 10
"""Of one API; in an outage all others say the same."""


class Snapshot(NamedTuple):
    """One record: `content` is the JSON object that is shown, `time` in seconds since 1970.

    Ids sort as their snapshots were made.
    `tenant_id` and `api_id` are empty for a request that had no route.
    """

    id: str
    time: float
    tenant_id: str
    api_id: str
    content: str


class Snapshots:
    """The snapshots of a gateway: `per_tenant` of each tenant, for `hours`."""

    def __init__(self, per_tenant: int, hours: int) -> None:
        self._per_tenant = per_tenant
        self._seconds = hours * 3600.0
        self._rings: dict[str, deque[Snapshot]] = {}
        self._second = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._total = self.captured = self.evicted = self.skipped = 0
        self.version = 0

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Snapshot]:
        for ring in self._rings.values():
            yield from ring

    def wants(self, tenant_id: str, api_id: str, time: float) -> bool:
        """Whether one more of an API is kept now; it is counted."""
        second, key = int(time), (tenant_id, api_id)
        if second != self._second:
            self._second = second
            self._counts.clear()
        self._counts[key] += 1
        if self._counts[key] > EACH_SECOND:
            self.skipped += 1
            return False
        return True

    def add(self, snapshot: Snapshot) -> None:
        """Keep a new one."""
        self.captured += 1
        self._put(snapshot)

    def restore(self, snapshots: Iterable[Snapshot]) -> None:
        """Keep those of another process, the oldest first."""
        for snapshot in snapshots:
            self._put(snapshot)

    def take(self) -> list[Snapshot]:
        """Return all, and forget them: another process of this gateway keeps them."""
        taken = sorted(self)
        self.clear(None)
        return taken

    def find(self, tenant_id: str | None, api_id: str | None) -> list[Snapshot]:
        """Return those of a tenant and an API, None for all; the newest first."""
        found = self if tenant_id is None else self._rings.get(tenant_id, ())
        chosen = [one for one in found if api_id in (None, one.api_id)]
        return sorted(chosen, reverse=True)

    def expire(self, now: float) -> None:
        """Forget what is too old."""
        for tenant_id, ring in list(self._rings.items()):
            while ring and ring[0].time < now - self._seconds:
                ring.popleft()
                self._total -= 1
                self.version += 1
            if not ring:
                del self._rings[tenant_id]

    def clear(self, tenant_id: str | None) -> int:
        """Forget those of a tenant, None for all; return how many there were."""
        before = self._total
        for one in list(self._rings) if tenant_id is None else [tenant_id]:
            self._total -= len(self._rings.pop(one, ()))
        self.version += self._total != before
        return before - self._total

    def families(self) -> Iterator[tuple[Kind, str, str, Read]]:
        """Return the metrics; names are those of STOA gateway 0.9.25 but for the last but one."""
        yield (
            "counter",
            "stoa_snapshots_captured_total",
            "Responses 5xx of which there was a snapshot.",
            lambda: self.captured,
        )
        yield (
            "counter",
            "stoa_snapshots_evicted_total",
            "Snapshots that made room for newer ones.",
            lambda: self.evicted,
        )
        yield (
            "counter",
            "stoa_snapshots_skipped_total",
            "Responses 5xx beyond those of an API of which there are snapshots each second.",
            lambda: self.skipped,
        )
        yield (
            "gauge",
            "stoa_snapshot_store_size",
            "Snapshots that are kept.",
            lambda: len(self),
        )

    def _put(self, snapshot: Snapshot) -> None:
        ring = self._rings.setdefault(snapshot.tenant_id, deque())
        ring.append(snapshot)
        self._total += 1
        self.version += 1
        if len(ring) > self._per_tenant:
            self._evict(ring)
        elif self._total > MAX_SNAPSHOTS:
            self._evict(max(self._rings.values(), key=len))

    def _evict(self, ring: deque[Snapshot]) -> None:
        """Drop the oldest of the API that has most, so that a noisy one hides no other."""
        api_id = Counter(one.api_id for one in ring).most_common(1)[0][0]
        ring.remove(next(one for one in ring if one.api_id == api_id))
        self._total -= 1
        self.evicted += 1
