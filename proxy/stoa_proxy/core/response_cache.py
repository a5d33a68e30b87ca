"""Responses that a gateway keeps for a while, by URL and variant, within bounds of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.flights import Flights
from stoa_proxy.http.heads import Headers

MAX_BODY: Final = 1024 * 1024
_PER_TENANT: Final = 16 * 1024 * 1024
_IN_ALL: Final = 64 * 1024 * 1024
# Objects around the bytes of one response, measured with sys.getsizeof: about 1.5 KiB with ten
# headers.
_OVERHEAD: Final = 1536
# Of one URL, so that looking for one stays short; the one that was stored longest ago goes.
_MAX_VARIANTS: Final = 16
# URLs whose responses are not kept: nobody waits for them for so long.
_NOT_KEPT_SECONDS: Final = 30.0
_MAX_NOT_KEPT: Final = 10_000
_RESULTS: Final = ("hit", "miss", "revalidated", "stale", "bypass", "collapsed")


class CacheUrl(NamedTuple):
    """What a response is of: `policy` and `tenant` keep APIs apart."""

    tenant: str
    policy: str
    api: str
    origin: str
    path: str
    query: str

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, roughly: clients choose path and query, up to 64 KiB."""
        return sum(map(len, self))


class FlightKey(NamedTuple):
    """Requests that wait for one another: of one URL, consumer and variant, as far as known."""

    url: CacheUrl
    consumer: str
    variant: tuple[tuple[str, str], ...]


# Without a representation: headers of requests may be credentials.
@dataclass(slots=True, eq=False, repr=False)
class StoredResponse:
    """One response; `consumer` is the only one that may get it, "" is everybody.

    `is_for_all` is whether its backend says that whoever asks may get it, also with a credential
    or a cookie of their own.

    `variant` are the request headers that it answers to. `stored_at` is of the monotonic clock; at
    that time it was `age` seconds old, and is fresh until it is `fresh` old.
    """

    consumer: str
    variant: tuple[tuple[str, str], ...]
    status: int
    headers: Headers
    body: bytes
    stored_at: float
    age: float
    fresh: float
    stale_if_error: float
    needs_validation: bool
    is_for_all: bool
    # Of the URL that it is kept under, set by `store`.
    url_size: int = field(init=False, default=0)

    @property
    def size(self) -> int:
        """Bytes of memory that it takes with its URL, roughly."""
        named = sum(len(name) + len(value) for name, value in self.headers)
        asked = sum(len(name) + len(value) for name, value in self.variant)
        return len(self.body) + named + asked + self.url_size + _OVERHEAD

    def age_at(self, now: float) -> float:
        """Return how old it is (RFC 9111, 4.2.3)."""
        return self.age + now - self.stored_at


class ResponseCache(PolicyState):
    """All stored responses of a gateway, of each tenant those that were used longest ago first."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.flights: Flights[FlightKey] = Flights(clock)
        self.results = dict.fromkeys(_RESULTS, 0)
        self._tenants: dict[str, _TenantCache] = {}
        # By the URL's hash, for a URL may have 64 KiB; of two with the same nobody waits in vain.
        self._not_kept: OrderedDict[int, float] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def __len__(self) -> int:
        return sum(
            len(variants) for tenant in self._tenants.values() for variants in tenant.urls.values()
        )

    def families(self) -> Iterable[MetricFamily]:
        """Return what became of requests, and what is kept."""
        return [
            MetricFamily(
                "counter",
                "stoa_cache_requests_total",
                "Requests to APIs with caching, by what the cache did for them.",
                lambda: [({"result": name}, count) for name, count in self.results.items()],
            ),
            MetricFamily("gauge", "stoa_cache_bytes", "Responses in memory.", lambda: self._size),
            MetricFamily(
                "gauge", "stoa_cache_responses", "Responses in memory.", lambda: len(self)
            ),
        ]

    def preview(self) -> ResponseCache:
        """Return a cache of the same responses, by which nobody waits and no result is counted."""
        preview = ResponseCache(self.clock)
        preview._tenants, preview._not_kept = self._tenants, self._not_kept
        return preview

    def find(
        self, url: CacheUrl, consumer: str, matches: Callable[[StoredResponse], bool]
    ) -> StoredResponse | None:
        """Return the newest response of a URL for a consumer that `matches` a request."""
        tenant = self._tenants.get(url.tenant)
        variants = None if tenant is None else tenant.urls.get(url)
        if tenant is None or variants is None:
            return None
        for stored in reversed(variants):
            if stored.consumer in ("", consumer) and matches(stored):
                tenant.urls.move_to_end(url)
                return stored
        return None

    def store(self, url: CacheUrl, response: StoredResponse) -> None:
        """Keep a response in place of the one of its variant, and make room for it."""
        tenant = self._tenants.get(url.tenant)
        if tenant is None:
            tenant = self._tenants[url.tenant] = _TenantCache()
        before = tenant.size
        tenant.store(url, response)
        self._size += tenant.size - before
        self._not_kept.pop(hash(url), None)
        while self._size > _IN_ALL:
            # From whoever has most, which may be another tenant than this one.
            largest = max(self._tenants.values(), key=lambda one: one.size)
            self._size -= largest.drop_oldest()

    def replace(self, url: CacheUrl, old: StoredResponse, new: StoredResponse) -> None:
        """Keep `new` for `old`, if that is still here."""
        tenant = self._tenants.get(url.tenant)
        if tenant is not None and old in tenant.urls.get(url, ()):
            self.store(url, new)

    def remove(self, url: CacheUrl) -> None:
        """Forget all responses of a URL: it was changed."""
        tenant = self._tenants.get(url.tenant)
        if tenant is not None:
            self._size -= tenant.remove(url)

    def clear(self) -> int:
        """Forget all responses; return how many there were."""
        removed = len(self)
        self._tenants.clear()
        self._not_kept.clear()
        self._size = 0
        return removed

    def note_not_kept(self, url: CacheUrl) -> None:
        """Note that a response is not kept, so that nobody waits for the next one."""
        key = hash(url)
        self._not_kept[key] = self.clock.monotonic() + _NOT_KEPT_SECONDS
        self._not_kept.move_to_end(key)
        if len(self._not_kept) > _MAX_NOT_KEPT:
            self._not_kept.popitem(last=False)

    def is_worth_waiting(self, url: CacheUrl) -> bool:
        """Whether the response of a URL may be kept, as far as is known."""
        key = hash(url)
        until = self._not_kept.get(key)
        if until is None:
            return True
        if until > self.clock.monotonic():
            return False
        del self._not_kept[key]
        return True


class _TenantCache:
    __slots__ = ("size", "urls")

    def __init__(self) -> None:
        self.urls: OrderedDict[CacheUrl, list[StoredResponse]] = OrderedDict()
        self.size = 0

    def store(self, url: CacheUrl, response: StoredResponse) -> None:
        response.url_size = url.size
        variants = self.urls.setdefault(url, [])
        self.urls.move_to_end(url)
        for index, old in enumerate(variants):
            if (old.consumer, old.variant) == (response.consumer, response.variant):
                self.size -= variants.pop(index).size
                break
        variants.append(response)
        self.size += response.size
        if len(variants) > _MAX_VARIANTS:
            self.size -= variants.pop(0).size
        while self.size > _PER_TENANT:
            self.drop_oldest()

    def drop_oldest(self) -> int:
        _, variants = self.urls.popitem(last=False)
        gone = sum(one.size for one in variants)
        self.size -= gone
        return gone

    def remove(self, url: CacheUrl) -> int:
        gone = sum(one.size for one in self.urls.pop(url, ()))
        self.size -= gone
        return gone
