"""Printing figures: medians, percentiles, ratios and error counts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Lane:
    """Measurements of one side, in seconds, and how many went wrong."""

    name: str
    seconds: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def percentile(self, percent: float) -> float:
        """The smallest measurement that `percent` of all do not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def line(self) -> str:
        return (
            f"  {self.name:<34} n={len(self.seconds):<5} p50={self.median * 1e3:9.1f} ms"
            f"  p99={self.percentile(99) * 1e3:9.1f} ms  errors={self.errors}"
        )


def show(title: str, lanes: Sequence[Lane], target: str) -> None:
    """Print the lanes and the ratio of the first to each other one."""
    print(f"{title}   (to reach: {target})")
    for lane in lanes:
        print(lane.line())
    for peer in lanes[1:]:
        print(f"  ratio {lanes[0].name} / {peer.name}: {lanes[0].median / peer.median:.2f}")
    print(flush=True)
