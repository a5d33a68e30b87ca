"""Metrics of the process as plain values; the control listener renders them.

Labels are bounded: gateway, status, action, type and one revision at a time.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

# Upper bounds in seconds, from a cycle without changes to the apply of a large catalog.
BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class MetricKind(Enum):
    """The types of the Prometheus text format that we use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """One value; `suffix` follows the name of the metric: `_bucket`, `_sum`, `_count`."""

    value: float
    labels: tuple[tuple[str, str], ...] = ()
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its samples. Counters end in `_total`; times are in seconds."""

    name: str
    kind: MetricKind
    help: str
    samples: tuple[Sample, ...]


@dataclass
class Histogram:
    """Counts of durations by bucket, in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        # bisect_left, because the upper bound `le` of a bucket belongs to it.
        self.counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def samples(self, labels: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
        """Yield cumulative buckets, sum and count, as the Prometheus text format wants them."""
        reached = 0
        for end, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            reached += count
            yield Sample(reached, (*labels, ("le", end)), "_bucket")
        yield Sample(self.total, labels, "_sum")
        yield Sample(reached, labels, "_count")


def counter(
    name: str, message: str, labels: tuple[str, ...], counts: Counter[tuple[str, ...]]
) -> Metric:
    """Return a counter of counts by label values, sorted."""
    samples = tuple(
        Sample(count, tuple(zip(labels, values, strict=True)))
        for values, count in sorted(counts.items())
    )
    return Metric(name, MetricKind.COUNTER, message, samples)


def gauge(name: str, message: str, samples: Iterable[Sample]) -> Metric:
    """Return a gauge."""
    return Metric(name, MetricKind.GAUGE, message, tuple(samples))


def by_gateway(values: Mapping[str, float]) -> Iterator[Sample]:
    """Yield one sample for each gateway, sorted."""
    for gateway, value in sorted(values.items()):
        yield Sample(value, (("gateway", gateway),))
