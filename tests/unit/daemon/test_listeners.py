"""The control listener: its names, its bounds, its figures."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from stoa_gitops.daemon.listeners import (
    Address,
    ControlBounds,
    ControlListener,
    ControlListeners,
    ListenFailed,
)
from tests.unit.control.test_routes import make_context


async def test_the_control_listener_counts_what_it_refuses() -> None:
    bounds = ControlBounds(max_connections=2, hosts=("stoa.example.com",))
    listener = ControlListener(make_context(), Address("127.0.0.1", 0), bounds)
    url = await listener.start()
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
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


async def test_a_public_listener_lacks_what_is_for_gateways_and_counts_for_itself() -> None:
    listeners = ControlListeners()
    anywhere = Address("127.0.0.1", 0)
    url = await listeners.start(make_context(), anywhere, anywhere, ControlBounds())
    try:
        assert url.startswith("http://127.0.0.1:")
        names = {metric.name for metric in listeners.metrics()}
        assert names >= {"stoa_gitops_control_connections", "stoa_gitops_public_connections"}
    finally:
        await listeners.stop()


async def test_a_public_address_in_use_is_named_by_its_flag_and_leaves_no_listener() -> None:
    taken = ControlListener(make_context(), Address("127.0.0.1", 0), ControlBounds())
    port = httpx.URL(await taken.start()).port
    assert port is not None
    listeners = ControlListeners()
    try:
        with pytest.raises(ListenFailed, match="choose another --public-listen"):
            await listeners.start(
                make_context(), Address("127.0.0.1", 0), Address("127.0.0.1", port), ControlBounds()
            )
    finally:
        await taken.stop()
