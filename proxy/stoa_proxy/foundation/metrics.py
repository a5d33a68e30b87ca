"""Metrics in the text format of Prometheus (version 0.0.4), with a bounded number of series.

Labels are methods and statuses, of which there are few; never a path, a route or a caller, whose
number others decide. Of what is counted by tenant the first MAX_SERIES are shown. Private families
are for operators alone: the listener that serves these lines is that of the clients.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from http import HTTPMethod, HTTPStatus
from itertools import islice
from typing import Final

from stoa_proxy.foundation.metric_readings import (
    BUCKETS,
    MAX_SERIES,
    FamilyReading,
    HistogramReading,
    Kind,
    Merge,
    Reading,
    Values,
)

__all__ = ["CONTENT_TYPE", "MAX_SERIES", "Histogram", "Kind", "Merge", "Metrics", "Read"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Read = Callable[[], Values]
"""Returns a value, or values with their labels, at each scrape."""

ReadHistograms = Callable[[], Iterable[tuple[Mapping[str, str], HistogramReading]]]
"""Returns histograms with their labels, at each scrape."""

_REQUEST_SECONDS: Final = "stoa_http_request_duration_seconds"
_UPSTREAM_SECONDS: Final = "stoa_upstream_latency_seconds"
_HISTOGRAMS: Final = (
    (_REQUEST_SECONDS, "To the end of the response."),
    (_UPSTREAM_SECONDS, "Of upstreams, to the head of the response."),
)
_METHODS = frozenset(HTTPMethod)
_STATUSES = frozenset(HTTPStatus)


class Histogram:
    """Counts of seconds by bucket, and their sum."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> int:
        """Count one observation; return its bucket."""
        bucket = bisect_left(BUCKETS, seconds)
        self._counts[bucket] += 1
        self._sum += seconds
        return bucket

    def read(self) -> HistogramReading:
        """Return what was observed until now."""
        return HistogramReading(list(self._counts), self._sum)


class Metrics:
    """What one gateway counts, and what it is asked for when it is scraped."""

    def __init__(self) -> None:
        self.request_seconds = Histogram()
        self.upstream_seconds = Histogram()
        self.rate_limited = 0
        # Of requests whose responses came whole with their heads, for both histograms at once.
        self._forwarded = Histogram()
        self._requests: dict[tuple[str, int], int] = {}
        self._families: dict[str, tuple[Kind, str, Read, Merge, bool]] = {}
        self._histograms: dict[str, tuple[str, ReadHistograms]] = {}
        # Those of other processes of this gateway.
        self.read_others: Callable[[], Iterable[Reading]] = tuple

    def count_request(self, method: str, status: int, seconds: float) -> None:
        """Count a request to a route, whoever responded to it."""
        self._count(method, status)
        self.request_seconds.observe(seconds)

    def _count(self, method: str, status: int) -> None:
        key = (method, status)
        count = self._requests.get(key)
        if count is None:
            # Clients choose the method, upstreams the status: what is unknown is counted together.
            known = status if status in _STATUSES else status // 100 * 100
            key = (method if method in _METHODS else "other", known)
            count = self._requests.get(key, 0)
        self._requests[key] = count + 1

    def count_forwarded(self, method: str, status: int, seconds: float) -> int:
        """Count a request whose response came whole with its head, for both histograms at once.

        Returns the bucket of its seconds.
        """
        key = (method, status)
        count = self._requests.get(key)
        if count is None:
            self._count(method, status)
        else:
            self._requests[key] = count + 1
        return self._forwarded.observe(seconds)

    def count_refusal(self, method: str, status: int, seconds: float) -> None:
        """Count a request to a route that this gateway did not pass on."""
        self.rate_limited += status == HTTPStatus.TOO_MANY_REQUESTS
        self.count_request(method, status, seconds)

    def totals(self) -> tuple[int, int]:
        """Return how many requests to routes there were, and how many were answered 5xx."""
        requests = [*self._requests.items()]
        for other in self.read_others():
            requests += other.requests.items()
        errors = sum(count for (_, status), count in requests if status >= 500)
        return sum(count for _, count in requests), errors

    def add(
        self,
        kind: Kind,
        name: str,
        text: str,
        read: Read,
        merge: Merge = "sum",
        *,
        is_private: bool = False,
    ) -> None:
        """Serve what `read` returns at each scrape; `text` describes it.

        The name of a counter ends in `_total`, another unit than a number in `_seconds`, `_bytes`.
        `merge` is what becomes of it where several processes are one gateway.
        """
        self._families[name] = (kind, text, read, merge, is_private)

    def add_histograms(self, name: str, text: str, read: ReadHistograms) -> None:
        """Serve histograms with labels, private ones, that this process knows for all."""
        self._histograms[name] = text, read

    def read(self) -> Reading:
        """Return everything that this process has counted."""
        histograms = {
            _REQUEST_SECONDS: self.request_seconds.read(),
            _UPSTREAM_SECONDS: self.upstream_seconds.read(),
        }
        for histogram in histograms.values():
            histogram.add(self._forwarded.read())
        families = {
            name: FamilyReading(kind, text, merge, is_private, FamilyReading.read(read()))
            for name, (kind, text, read, merge, is_private) in self._families.items()
        }
        return Reading(dict(self._requests), self.rate_limited, histograms, families)

    def render(self, *, with_private: bool = False) -> bytes:
        """Return everything in the text format."""
        reading = self._read_all()
        name = "stoa_http_requests_total"
        lines = _head(name, "counter", "Requests to routes, by method and status.")
        lines += [
            f'{name}{{method="{method}",status="{status}"}} {count}'
            for (method, status), count in sorted(reading.requests.items())
        ]
        for name, text in _HISTOGRAMS:
            lines += [*_head(name, "histogram", text), *reading.histograms[name].lines(name)]
        name = "stoa_rate_limit_hits_total"
        lines += _head(name, "counter", "Requests that this gateway refused with 429.")
        lines.append(f"{name} {reading.rate_limited}")
        for name, family in sorted(reading.families.items()):
            if family.is_private and not with_private:
                continue
            lines += [*_head(name, family.kind, family.text), *family.lines(name)]
        for name, (text, read) in self._histograms.items() if with_private else ():
            lines += _head(name, "histogram", text)
            for labels, histogram in islice(read(), MAX_SERIES):
                lines += histogram.lines(name, labels)
        return "\n".join([*lines, ""]).encode()

    def _read_all(self) -> Reading:
        reading = self.read()
        for other in self.read_others():
            reading.add(other)
        return reading


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
