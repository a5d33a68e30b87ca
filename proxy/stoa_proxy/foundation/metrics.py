"""Metrics in the text format of Prometheus (version 0.0.4), with a bounded number of series.

Labels are methods and statuses, of which there are few; never a path, a route or a caller, whose
number others decide. Of what is counted by tenant the first MAX_SERIES are shown. Private families
are for operators alone: the listener that serves these lines is that of the clients.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from http import HTTPMethod, HTTPStatus
from itertools import accumulate, islice
from typing import Final, Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_SERIES: Final = 200
"""Lines of one name beside those of methods and statuses."""

Kind = Literal["counter", "gauge"]
Read = Callable[[], float | Iterable[tuple[Mapping[str, str], float]]]
"""Returns a value, or values with their labels, at each scrape."""

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset(HTTPMethod)
_STATUSES = frozenset(HTTPStatus)


class Histogram:
    """Counts of seconds by bucket, and their sum."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self._sum += seconds

    def samples(self, name: str) -> list[str]:
        """Return its lines."""
        bounds = (*map(str, _BUCKETS), "+Inf")
        counts = list(accumulate(self._counts))
        lines = [
            f'{name}_bucket{{le="{bound}"}} {count}'
            for bound, count in zip(bounds, counts, strict=True)
        ]
        return [*lines, f"{name}_sum {self._sum:.6f}", f"{name}_count {counts[-1]}"]


class Metrics:
    """What one gateway counts, and what it is asked for when it is scraped."""

    def __init__(self) -> None:
        self.request_seconds = Histogram()
        self.upstream_seconds = Histogram()
        self.rate_limited = 0
        self._requests: dict[tuple[str, int], int] = {}
        self._families: dict[str, tuple[Kind, str, Read]] = {}
        self._private: set[str] = set()

    def count_request(self, method: str, status: int, seconds: float) -> None:
        """Count a request to a route, whoever responded to it."""
        key = (method, status)
        count = self._requests.get(key)
        if count is None:
            # Clients choose the method, upstreams the status: what is unknown is counted together.
            known = status if status in _STATUSES else status // 100 * 100
            key = (method if method in _METHODS else "other", known)
            count = self._requests.get(key, 0)
        self._requests[key] = count + 1
        self.request_seconds.observe(seconds)

    def count_refusal(self, method: str, status: int, seconds: float) -> None:
        """Count a request to a route that this gateway did not pass on."""
        self.rate_limited += status == HTTPStatus.TOO_MANY_REQUESTS
        self.count_request(method, status, seconds)

    def totals(self) -> tuple[int, int]:
        """Return how many requests to routes there were, and how many were answered 5xx."""
        errors = sum(count for (_, status), count in self._requests.items() if status >= 500)
        return sum(self._requests.values()), errors

    def add(
        self, kind: Kind, name: str, text: str, read: Read, *, is_private: bool = False
    ) -> None:
        """Serve what `read` returns at each scrape; `text` describes it.

        The name of a counter ends in `_total`, another unit than a number in `_seconds`, `_bytes`.
        """
        self._families[name] = (kind, text, read)
        if is_private:
            self._private.add(name)

    def render(self, *, with_private: bool = False) -> bytes:
        """Return everything in the text format."""
        name = "stoa_http_requests_total"
        lines = _head(name, "counter", "Requests to routes, by method and status.")
        lines += [
            f'{name}{{method="{method}",status="{status}"}} {count}'
            for (method, status), count in sorted(self._requests.items())
        ]
        for name, text, histogram in (
            ("stoa_http_request_duration_seconds", "To the end of the response.",
             self.request_seconds),
            ("stoa_upstream_latency_seconds", "Of upstreams, to the head of the response.",
             self.upstream_seconds),
        ):  # fmt: skip
            lines += [*_head(name, "histogram", text), *histogram.samples(name)]
        name = "stoa_rate_limit_hits_total"
        lines += _head(name, "counter", "Requests that this gateway refused with 429.")
        lines.append(f"{name} {self.rate_limited}")
        for name, (kind, text, read) in sorted(self._families.items()):
            if name in self._private and not with_private:
                continue
            lines += [*_head(name, kind, text), *_samples(name, read())]
        return "\n".join([*lines, ""]).encode()


def _samples(name: str, value: float | Iterable[tuple[Mapping[str, str], float]]) -> Iterable[str]:
    if isinstance(value, (int, float)):
        yield f"{name} {value}"
        return
    for labels, number in islice(value, MAX_SERIES):
        shown = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        yield f"{name}{{{shown}}} {number}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
