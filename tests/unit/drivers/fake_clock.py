"""A clock for probers."""

from __future__ import annotations

from contextvars import ContextVar


class FakeClock:
    """Time that passes only while the prober pauses; `step` seconds each time.

    A prober bounds its calls by real time, too: the longer a step, the slower a machine may be.
    """

    def __init__(self, step: float = 1.0) -> None:
        self.now = 0.0
        self._step = step

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += self._step


class TaskClock:
    """Time that passes in each task by itself, while it pauses; `step` seconds each time."""

    def __init__(self, step: float = 1.0) -> None:
        self._now = ContextVar("now", default=0.0)
        self._step = step

    def __call__(self) -> float:
        return self._now.get()

    async def sleep(self, seconds: float) -> None:
        self._now.set(self._now.get() + self._step)
