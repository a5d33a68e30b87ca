"""Times as text: those of `datetime`, whatever time was asked for before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.foundation.timestamps import Timestamps

from tests.laws import examples
from tests.proxy.conftest import FakeClock

STEPS = st.integers(-3_000_000, 3_000_000)


@examples(100)
@given(st.lists(STEPS, max_size=20))
def test_texts_are_those_of_the_time_of_now(steps: list[int]) -> None:
    class Clock(FakeClock):
        time = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)

        def now(self) -> datetime:
            return self.time

    clock = Clock()
    stamps = Timestamps(clock)
    for step in steps:
        clock.time += timedelta(microseconds=step)
        assert stamps.text().decode() == clock.time.isoformat(timespec="milliseconds")
