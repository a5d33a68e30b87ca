"""Metrics at one moment, as values that are sent to another process and added up there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any, Final, Literal

MAX_SERIES: Final = 200
"""Lines of one name beside those of methods and statuses."""

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Kind = Literal["counter", "gauge"]
Merge = Literal["sum", "max", "here"]
"""How values of several processes become one: `here` is known to one process for all."""

Labels = tuple[tuple[str, str], ...]
Values = float | Iterable[tuple[Mapping[str, str], float]]

_NO_LABELS: Final[Mapping[str, str]] = {}


@dataclass(slots=True)
class HistogramReading:
    """Counts of seconds by bucket, the last without an upper bound, and their sum."""

    counts: list[int]
    total: float

    def add(self, other: HistogramReading) -> None:
        """Add what another process observed."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def lines(self, name: str, labels: Mapping[str, str] = _NO_LABELS) -> Iterator[str]:
        """Yield its lines in the text format."""
        counts = list(accumulate(self.counts))
        shown = _shown(labels.items())
        before, alone = (f"{shown},", f"{{{shown}}}") if shown else ("", "")
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
            yield f'{name}_bucket{{{before}le="{bound}"}} {count}'
        yield f"{name}_sum{alone} {self.total:.6f}"
        yield f"{name}_count{alone} {counts[-1]}"


@dataclass(slots=True)
class FamilyReading:
    """The values of one name, by their labels."""

    kind: Kind
    text: str
    merge: Merge
    is_private: bool
    values: dict[Labels, float]

    @staticmethod
    def read(values: Values) -> dict[Labels, float]:
        """Return values by their labels; a single one has none."""
        if isinstance(values, (int, float)):
            return {(): values}
        return {tuple(labels.items()): value for labels, value in islice(values, MAX_SERIES)}

    def add(self, other: FamilyReading) -> None:
        """Add, or take the larger of, what another process has."""
        for labels, value in other.values.items():
            held = self.values.get(labels, 0)
            self.values[labels] = max(held, value) if self.merge == "max" else held + value

    def lines(self, name: str) -> Iterator[str]:
        """Yield its lines in the text format."""
        for labels, value in islice(self.values.items(), MAX_SERIES):
            yield f"{name}{{{_shown(labels)}}} {value}" if labels else f"{name} {value}"


@dataclass(slots=True)
class Reading:
    """All metrics of a process. `requests` are counts by method and status."""

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    rate_limited: int = 0
    histograms: dict[str, HistogramReading] = field(default_factory=dict)
    families: dict[str, FamilyReading] = field(default_factory=dict)

    def add(self, other: Reading, *, with_gauges: bool = True) -> None:
        """Add another process's; what is known `here` for all stays as it is.

        Of a process that has ended only counters go on (without `with_gauges`).
        """
        for key, count in other.requests.items():
            self.requests[key] = self.requests.get(key, 0) + count
        self.rate_limited += other.rate_limited
        for name, histogram in other.histograms.items():
            self.histograms.setdefault(
                name, HistogramReading([0] * len(histogram.counts), 0.0)
            ).add(histogram)
        for name, family in other.families.items():
            if family.merge == "here" or (family.kind == "gauge" and not with_gauges):
                continue
            held = self.families.get(name)
            if held is None:
                held = FamilyReading(family.kind, family.text, family.merge, family.is_private, {})
                self.families[name] = held
            held.add(family)

    def as_json(self) -> dict[str, Any]:
        """Return it as a value that JSON has."""
        return {
            "requests": [[*key, count] for key, count in self.requests.items()],
            "rate_limited": self.rate_limited,
            "histograms": {
                name: [histogram.counts, histogram.total]
                for name, histogram in self.histograms.items()
            },
            "families": {
                name: [
                    one.kind, one.text, one.merge, one.is_private, [*one.values.items()],
                ]
                for name, one in self.families.items()
            },
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reading:
        """Return what `as_json` made."""
        return cls(
            {(method, status): count for method, status, count in value["requests"]},
            value["rate_limited"],
            {name: HistogramReading(*parts) for name, parts in value["histograms"].items()},
            {
                name: FamilyReading(
                    kind, text, merge, is_private,
                    {tuple((key, text) for key, text in labels): n for labels, n in values},
                )
                for name, (kind, text, merge, is_private, values) in value["families"].items()
            },
        )  # fmt: skip


def _shown(labels: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{key}="{_escape(text)}"' for key, text in labels)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
