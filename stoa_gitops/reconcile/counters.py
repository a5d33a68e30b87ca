"""Counters of cycles, changes and catalog readings since the start of the process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from stoa_gitops.model.outcomes import Report
from stoa_gitops.reconcile.metrics import Histogram, Metric, MetricKind, Sample, counter, gauge

# One sample of the loop's lag is taken each second: the worst of a minute is kept in sight.
LAG_SAMPLES = 60


@dataclass
class Counters:
    """Used in the thread of the event loop only; times are in seconds."""

    cycles: Counter[tuple[str, ...]] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, ...]] = field(default_factory=Counter)
    readings: Counter[tuple[str, ...]] = field(default_factory=Counter)
    durations: dict[str, Histogram] = field(default_factory=dict)
    lags: deque[float] = field(default_factory=lambda: deque(maxlen=LAG_SAMPLES))

    def count_cycle(self, gateway: str, report: Report, seconds: float, *, is_ok: bool) -> None:
        """Count one cycle."""
        self.cycles[gateway, "ok" if is_ok else "failed"] += 1
        self.durations.setdefault(gateway, Histogram()).observe(seconds)
        for outcome in report.outcomes:
            action, status = outcome.change.action.value, outcome.status.value
            self.outcomes[gateway, action, status] += 1

    def remove_gateway(self, gateway: str) -> None:
        """Drop a gateway that left the catalog, so that the number of labels stays bounded."""
        self.durations.pop(gateway, None)
        for counts in (self.cycles, self.outcomes):
            for labels in [labels for labels in counts if labels[0] == gateway]:
                del counts[labels]

    def metrics(self) -> Iterator[Metric]:
        """Yield the counters, the histogram of durations and the loop's lag."""
        yield counter(
            "stoa_gitops_cycles_total",
            "Cycles by result: ok, failed.",
            ("gateway", "status"),
            self.cycles,
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
            self.outcomes,
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
