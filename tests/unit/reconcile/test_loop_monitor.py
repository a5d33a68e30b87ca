from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stoa_gitops.reconcile.loop_monitor import LoopMonitor

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clocks:
    """A wall clock that steps and a steady one that does not."""

    def __init__(self) -> None:
        self.wall = NOW
        self.steady = 1000.0

    def pass_seconds(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds


@pytest.mark.parametrize("step", [timedelta(days=1), timedelta(days=-1), timedelta(seconds=-30)])
def test_a_step_of_the_wall_clock_is_told_once(step: timedelta) -> None:
    clocks, steps = Clocks(), list[timedelta]()
    pulse = LoopMonitor(
        lambda: clocks.wall, lambda _: None, steps.append, steady=lambda: clocks.steady
    )
    clocks.pass_seconds(3600)
    pulse.check()
    assert steps == []
    clocks.wall += step
    clocks.pass_seconds(1)
    pulse.check()
    pulse.check()
    assert steps == [step]


def test_a_clock_that_is_corrected_slowly_is_no_step() -> None:
    clocks, steps = Clocks(), list[timedelta]()
    pulse = LoopMonitor(
        lambda: clocks.wall, lambda _: None, steps.append, steady=lambda: clocks.steady
    )
    for _ in range(1000):
        clocks.pass_seconds(1)
        clocks.wall += timedelta(milliseconds=50)
        pulse.check()
    assert steps == []
