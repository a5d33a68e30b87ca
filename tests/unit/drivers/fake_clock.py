"""A clock for probers."""

from __future__ import annotations


class FakeClock:
    """Time that passes only while the prober pauses: a slow machine fails no test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += 1.0
