"""The control listener: its names, its bounds, its figures."""

from __future__ import annotations

import asyncio

import httpx

from stoa_gitops.daemon.listeners import Address, ControlBounds, ControlListener
from tests.unit.control.test_routes import make_context


async def test_the_control_listener_counts_what_it_refuses() -> None:
    bounds = ControlBounds(max_connections=2, hosts=("stoa.example.com",))
    listener = ControlListener(make_context(), Address("127.0.0.1", 0), bounds)
    url = await listener.start()
    try:
        async with httpx.AsyncClient(base_url=url) as client:
            port = httpx.URL(url).port
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            named = await client.get("/metrics", headers={"Host": "stoa.example.com"})
            assert named.status_code == 200
            assert (await client.get("/metrics", headers={"Host": "b.example"})).status_code == 421
            values = {
                (metric.name, sample.labels): sample.value
                for metric in listener.metrics()
                for sample in metric.samples
            }
            for _, writer in idle:
                writer.close()
        name = "stoa_gitops_control_connections"
        assert values[name, ()] == 2, "idle ones ended for new ones"
        assert values[f"{name}_refused_total", (("bound", "all"),)] == 0
    finally:
        await listener.stop()
