"""Figures of what callers used, and of how long requests took. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import add
from typing import Final, NamedTuple

from stoa_proxy.foundation.metric_readings import BUCKETS, HistogramReading

_FIGURES: Final = ("requests", "errors", "refused", "received", "sent", "seconds")
_NONE: Final = (0,) * (len(BUCKETS) + 1)


class ApiKey(NamedTuple):
    """An API and its tenant."""

    tenant_id: str
    api_id: str


class UsageKey(NamedTuple):
    """Whose usage: the API's tenant, the API, the application, empty where nobody is identified."""

    tenant_id: str
    api_id: str
    application_id: str


class Usage:
    """Figures of one key.

    requests          all to the API's routes, those that a policy refused included
    errors            those answered 5xx
    refused           those answered 4xx by the gateway or the backend
    received, sent    bytes of bodies, from and to callers
    seconds           from the request's head to the response's end, of requests that were passed on

    `buckets` are the counts of the API's `Durations`, of those that are counted by requests.
    """

    __slots__ = ("buckets", "errors", "received", "refused", "requests", "seconds", "sent")

    buckets: list[int]

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.refused = 0
        self.received = 0
        self.sent = 0
        self.seconds = 0.0

    def note_failure(self, status: int) -> None:
        """Count that a request was answered 4xx or 5xx."""
        if status >= 500:
            self.errors += 1
        else:
            self.refused += 1

    def add(self, other: Usage) -> None:
        """Add figures to these."""
        self.requests += other.requests
        self.errors += other.errors
        self.refused += other.refused
        self.received += other.received
        self.sent += other.sent
        self.seconds += other.seconds

    @classmethod
    def of(cls, figures: Iterable[float]) -> Usage:
        """Return a value of what `figures` returned."""
        usage = cls()
        for name, value in zip(_FIGURES, figures, strict=True):
            setattr(usage, name, value)
        return usage

    def figures(self) -> tuple[int, int, int, int, int, float]:
        """Return them in the order of the table."""
        return (
            self.requests, self.errors, self.refused, self.received, self.sent, self.seconds,
        )  # fmt: skip


class Durations:
    """How long requests to an API took: counts by bucket, and seconds that no `Usage` has.

    Those are of requests that were not passed on. All others are in `Usage.seconds`, so that a
    request that goes well is added up once.
    """

    __slots__ = ("buckets", "seconds")

    def __init__(self, buckets: Iterable[int] = _NONE, seconds: float = 0.0) -> None:
        self.buckets = list(buckets)
        self.seconds = seconds

    def observe(self, seconds: float) -> None:
        """Count a request that was not passed on."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def add(self, other: Durations) -> None:
        """Add those of another moment, or another process."""
        # In place: `Usage` holds the list, too.
        self.buckets[:] = map(add, self.buckets, other.buckets)
        self.seconds += other.seconds

    def read(self, usage: Usage) -> HistogramReading:
        """Return them with what `usage` of the same requests has."""
        return HistogramReading(list(self.buckets), self.seconds + usage.seconds)
