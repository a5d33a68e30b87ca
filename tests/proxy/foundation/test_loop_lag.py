"""The loop's lag is what timers were late, and the worst of it stays in sight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from stoa_proxy.foundation import loop_lag
from stoa_proxy.foundation.loop_lag import LoopLag

from tests.proxy.conftest import Api, Upstream, running


def test_the_last_and_the_worst_of_a_minute_are_shown() -> None:
    lag = LoopLag()
    assert lag.read() == []
    for seconds in (0.5, -0.1, *[0.25] * 58):
        lag.note(seconds)
    assert lag.read() == [({"type": "last"}, 0.25), ({"type": "worst"}, 0.5)]
    lag.note(0.1)
    assert lag.read() == [({"type": "last"}, 0.1), ({"type": "worst"}, 0.25)]


async def test_what_holds_the_loop_up_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_lag, "_EACH_SECONDS", 0.01)
    async with running() as api:
        async with asyncio.timeout(30):
            while "stoa_loop_lag_seconds{" not in await (await api.get("/metrics")).text():
                await asyncio.sleep(0.01)
        time.sleep(0.2)  # in the way of everything else, on purpose
        text = await (await api.get("/metrics")).text()
    worst = next(line for line in text.splitlines() if 'lag_seconds{type="worst"}' in line)
    # The timer was due within the first hundredth of it.
    assert float(worst.split()[-1]) >= 0.15


async def test_connections_and_requests_are_counted_while_they_are_there(
    start_upstream: Callable[..., Awaitable[Upstream]],
) -> None:
    async def figures(api: Api) -> list[str]:
        text = await (await api.get("/metrics")).text()
        names = ("stoa_requests_in_flight ", "gateway_pool_connections_")
        return [line for line in text.splitlines() if line.startswith(names)]

    arrived, gate = asyncio.Event(), asyncio.Event()

    async def hold(request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await gate.wait()
        return web.Response()

    upstream = await start_upstream(hold)
    async with running() as api:
        await api.route(upstream.url)
        waiting = asyncio.create_task(api.get("/a"))
        await asyncio.wait_for(arrived.wait(), 30)
        assert await figures(api) == [
            "gateway_pool_connections_active 1", "gateway_pool_connections_idle 0",
            "stoa_requests_in_flight 1",
        ]  # fmt: skip
        gate.set()
        assert (await waiting).status == 200
        assert (await figures(api))[0] == "gateway_pool_connections_active 0"
        assert (await figures(api))[2] == "stoa_requests_in_flight 0"
        text = await (await api.get("/metrics")).text()
    assert 'stoa_gateway_info{deployment_mode="proxy",version="' in text
