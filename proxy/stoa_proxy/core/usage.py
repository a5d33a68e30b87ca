"""What callers used: requests, errors, bytes and seconds by API and application. No I/O.

A request is counted once, when its response is known, at the cost of one lookup and a few
additions; `UsageFile` takes what was counted every second and adds it up by the hour.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from stoa_proxy.core.api_series import ApiFigures, ApiSeries, Histograms, Values
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.usage_figures import ApiKey, Durations, Usage, UsageKey
from stoa_proxy.foundation.metric_readings import BUCKETS
from stoa_proxy.foundation.metrics import Kind, Read

if TYPE_CHECKING:
    from stoa_proxy.core.exchange import RequestContext

MAX_KEYS: Final = 100_000
"""Pairs of API and application that are counted between two takings; others share one."""

OTHERS: Final = "(others)"
"""The application of requests beyond MAX_KEYS."""

Counted = tuple[str, str, str]
"""What a UsageKey says, as a plain tuple: it hashes and compares alike, at a third of the time."""


class UsageCounters:
    """Counts for one event loop.

    counters.count(route, consumer, 200, 0.012, received=0, sent=512)
    counters.take()   # what was counted since the last time
    """

    def __init__(self) -> None:
        self._counts: dict[Counted, Usage] = {}
        self._durations: dict[tuple[str, str], Durations] = {}
        # What is in `series` already, and was not taken yet.
        self._waiting: dict[Counted, Usage] = {}
        self.series = ApiSeries()

    def count(
        self,
        route: Route,
        consumer: Consumer | None,
        status: int,
        seconds: float | None,
        received: int,
        sent: int,
    ) -> None:
        """Count one request; without `seconds` it was not passed on, and `observe` is told."""
        key = counted_as(route, consumer)
        usage = self._counts.get(key) or self._begin(key)
        usage.requests += 1
        if status >= 400:
            usage.note_failure(status)
        usage.received += received
        usage.sent += sent
        if seconds is not None:
            usage.seconds += seconds
            usage.buckets[bisect_left(BUCKETS, seconds)] += 1

    def count_forwarded(
        self, key: Counted, status: int, seconds: float, sent: int, bucket: int
    ) -> None:
        """Do what `count` does for a request without a body, whose key and bucket are known."""
        usage = self._counts.get(key) or self._begin(key)
        usage.requests += 1
        if status >= 400:
            usage.note_failure(status)
        usage.sent += sent
        usage.seconds += seconds
        usage.buckets[bucket] += 1

    def count_answered(self, key: Counted, seconds: float) -> None:
        """Do what `count` and `observe` do for a request that is not passed on and went well."""
        usage = self._counts.get(key) or self._begin(key)
        usage.requests += 1
        self._durations_of(key[:2]).observe(seconds)

    def count_once(
        self,
        context: RequestContext,
        status: int,
        seconds: float | None = None,
        received: int = 0,
        sent: int = 0,
    ) -> None:
        """Count a request the first time that this is called for it."""
        if not context.is_counted:
            context.is_counted = True
            self.count(context.route, context.consumer, status, seconds, received, sent)
        elif seconds is not None:
            self.observe(context.route, seconds)

    def observe(self, route: Route, seconds: float) -> None:
        """Count how long a request took that was counted without."""
        self._durations_of((route.tenant_id, route.api_id)).observe(seconds)

    def _begin(self, key: Counted) -> Usage:
        usage = _kept(self._counts, key)
        usage.buckets = self._durations_of(key[:2]).buckets
        return usage

    def _durations_of(self, key: tuple[str, str]) -> Durations:
        durations = self._durations.get(key)
        if durations is None:
            durations = self._durations[key] = Durations()
        return durations

    def take(self) -> Mapping[UsageKey, Usage]:
        """Return what was counted since the last time, and begin anew."""
        self._add_to_series()
        taken, self._waiting = self._waiting, {}
        return {UsageKey(*key): usage for key, usage in taken.items()}

    def put_back(self, taken: Mapping[UsageKey, Usage]) -> None:
        """Return again with the next `take` what could not be kept."""
        for key, usage in taken.items():
            _kept(self._waiting, key).add(usage)

    def take_report(self) -> tuple[Mapping[Counted, Usage], Mapping[tuple[str, str], Durations]]:
        """Return what was counted since the last time, for `add` of another process."""
        taken = self._counts, self._durations
        # Together: what is counted goes to the durations of its time.
        self._counts, self._durations = {}, {}
        return taken

    def add(
        self,
        counts: Iterable[tuple[UsageKey, Usage]],
        durations: Iterable[tuple[ApiKey, Durations]],
    ) -> None:
        """Count what another process has taken."""
        for key, usage in counts:
            self._begin(key).add(usage)
        for api, one in durations:
            self._durations_of(api).add(one)

    def _add_to_series(self) -> None:
        counts, durations = self.take_report()
        for (tenant, api, _), usage in counts.items():
            self.series.of(ApiKey(tenant, api)).usage.add(usage)
        for key, one in durations.items():
            self.series.of(ApiKey(*key)).durations.add(one)
        if not self._waiting:
            self._waiting = dict(counts)
            return
        for whole, usage in counts.items():
            _kept(self._waiting, whole).add(usage)

    def families(self, mode: str) -> Iterator[tuple[Kind, str, str, Read]]:
        """Return metrics by API; `mode` is the gateway's."""
        for name, text, number in (
            ("requests_total", "Requests by API.", 0),
            ("errors_total", "Requests answered 5xx, by API.", 1),
            ("refused_total", "Requests answered 4xx, by API.", 2),
            ("received_bytes_total", "Bytes of bodies from callers, by API.", 3),
            ("sent_bytes_total", "Bytes of bodies to callers, by API.", 4),
            ("seconds_total", "Time of requests that were passed on, by API.", 5),
        ):
            yield "counter", f"stoa_api_{name}", text, _Column(self, number, mode)

    def histograms(self, mode: str) -> Histograms:
        """Yield how long requests took, by API."""
        for key, figures in self.apis():
            yield _labels(key, mode), figures.durations.read(figures.usage)

    def apis(self) -> Iterable[tuple[ApiKey, ApiFigures]]:
        """Return the figures of each API since its first request, the most used first."""
        self._add_to_series()
        return self.series.read()


def counted_as(route: Route, consumer: Consumer | None) -> Counted:
    """Return what requests of a consumer to a route are counted by."""
    return route.tenant_id, route.api_id, "" if consumer is None else consumer.id


class _Column:
    """One figure of all APIs, for a scrape."""

    def __init__(self, counters: UsageCounters, number: int, mode: str) -> None:
        self._counters = counters
        self._number = number
        self._mode = mode

    def __call__(self) -> Values:
        for key, figures in self._counters.apis():
            yield _labels(key, self._mode), figures.usage.figures()[self._number]


def _labels(key: ApiKey, mode: str) -> Mapping[str, str]:
    return {"tenant": key.tenant_id, "api": key.api_id, "deployment_mode": mode}


def _kept(counts: dict[Counted, Usage], key: Counted) -> Usage:
    """Return what is counted of a key, or with that of others where there are too many."""
    usage = counts.get(key)
    if usage is None:
        if len(counts) >= MAX_KEYS:
            key = (key[0], key[1], OTHERS)
        usage = counts.setdefault(key, Usage())
    return usage
