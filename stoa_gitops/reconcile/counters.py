"""Counters of cycles, changes and catalog readings since the start of the process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stoa_gitops.model.outcomes import Report
from stoa_gitops.reconcile.metrics import Histogram, Metric, MetricKind, Sample, counter, gauge

# One sample of the loop's lag is taken each second: the worst of a minute is kept in sight.
LAG_SAMPLES = 60


@dataclass
class Counters:
    """Used in the thread of the event loop only; times are in seconds."""

    # By gateway: a fleet of ten thousand may be forgotten at one moment, and to look for each among
    # the counts of all held the loop for 6 s.
    cycles: dict[str, Counter[tuple[str, ...]]] = field(default_factory=dict)
    outcomes: dict[str, Counter[tuple[str, ...]]] = field(default_factory=dict)
    readings: Counter[tuple[str, ...]] = field(default_factory=Counter)
    durations: dict[str, Histogram] = field(default_factory=dict)
    lags: deque[float] = field(default_factory=lambda: deque(maxlen=LAG_SAMPLES))

    def count_cycle(self, gateway: str, report: Report, seconds: float, *, is_ok: bool) -> None:
        """Count one cycle."""
        self.cycles.setdefault(gateway, Counter())["ok" if is_ok else "failed",] += 1
        self.durations.setdefault(gateway, Histogram()).observe(seconds)
        outcomes = self.outcomes.setdefault(gateway, Counter())
        for outcome in report.outcomes:
            outcomes[outcome.change.action.value, outcome.status.value] += 1

    def remove_gateway(self, gateway: str) -> None:
        """Drop a gateway that left the catalog, so that the number of labels stays bounded."""
        for by_gateway in (self.cycles, self.outcomes, self.durations):
            by_gateway.pop(gateway, None)

    def metrics(self) -> Iterator[Metric]:
        """Yield the counters, the histogram of durations and the loop's lag."""
        yield counter(
            "stoa_gitops_cycles_total",
            "Cycles by result: ok, failed.",
            ("gateway", "status"),
            _flat(self.cycles),
        )
        samples = [
            sample
            for gateway, histogram in sorted(self.durations.items())
            for sample in histogram.samples((("gateway", gateway),))
        ]
        yield Metric(
            "stoa_gitops_cycle_duration_seconds",
            MetricKind.HISTOGRAM,
            "How long cycles took.",
            tuple(samples),
        )
        yield counter(
            "stoa_gitops_changes_total",
            "Changes tried, by what came of them.",
            ("gateway", "action", "status"),
            _flat(self.outcomes),
        )
        yield counter(
            "stoa_gitops_catalog_readings_total",
            "Readings of the catalog: ok, invalid, unreadable.",
            ("status",),
            self.readings,
        )
        if self.lags:
            message = "How late the event loop was: the last sample, and the worst of a minute."
            yield gauge(
                "stoa_gitops_loop_lag_seconds",
                message,
                (
                    Sample(self.lags[-1], (("type", "last"),)),
                    Sample(max(self.lags), (("type", "worst"),)),
                ),
            )


def _flat(counts: Mapping[str, Counter[tuple[str, ...]]]) -> Counter[tuple[str, ...]]:
    """Return counts of gateways as one, the name of the gateway first."""
    return Counter(
        {
            (gateway, *labels): count
            for gateway, one in counts.items()
            for labels, count in one.items()
        }
    )
