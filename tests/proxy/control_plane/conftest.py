"""A gateway that registers with a double of a control plane, and time that only tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from stoa_proxy.control_plane_config import ControlPlaneConfig

from tests.proxy.conftest import Api, FakeClock, running
from tests.proxy.control_plane.double import KEY, ControlPlane, serving

Join = Callable[..., AbstractAsyncContextManager[Api]]


class Timer:
    """Pauses that end when a test says so; the clock moves with them."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.ended: list[float] = []
        self._waiting: list[tuple[float, float, asyncio.Future[None]]] = []

    async def pause(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.clock.seconds + seconds, seconds, future)
        self._waiting.append(entry)
        try:
            await future
        finally:
            self._waiting.remove(entry)

    async def next(self, waiting: int = 1) -> float:
        """End the pause that is due first, once so many wait; return how long it was."""
        async with asyncio.timeout(30):
            while len(self._waiting) < waiting:
                await asyncio.sleep(0.001)
        due, seconds, future = min(self._waiting, key=lambda entry: entry[0])
        self.clock.seconds = max(self.clock.seconds, due)
        self.ended.append(seconds)
        future.set_result(None)
        # So that whoever waited has gone on before the next pause is looked for.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return seconds


@pytest.fixture
def timer(clock: FakeClock) -> Timer:
    return Timer(clock)


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with serving(ControlPlane()) as plane:
        yield plane


@pytest.fixture
def join(clock: FakeClock, timer: Timer) -> Join:
    """Run a gateway that registers at a URL; `settings` are those of ControlPlaneConfig."""

    def start(url: str, config: Any = None, **settings: Any) -> AbstractAsyncContextManager[Api]:
        fields = {"key": KEY, "instance_name": "edge", **settings}
        return running(
            control_plane=ControlPlaneConfig(url=url, **fields),
            clock=clock,
            pause=timer.pause,
            jitter=lambda: 0.5,
            **(config or {}),
        )

    return start
