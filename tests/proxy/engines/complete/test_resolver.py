"""Names of upstreams: own threads, own bounds, own cache."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from stoa_proxy.engines.complete.upstream import resolver as module
from stoa_proxy.engines.complete.upstream.resolver import (
    FAILED_SECONDS,
    FRESH_SECONDS,
    LOOKUP_SECONDS,
    STALE_SECONDS,
    AddressInfo,
    Resolver,
)

from tests.proxy.conftest import FakeClock, Upstream, running
from tests.proxy.raw import exchange

CALL = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def addresses(*texts: str) -> list[AddressInfo]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in texts]


class Names:
    """A resolver of the system that a test steers: slow names wait for `release`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.found: dict[str, list[AddressInfo] | OSError] = {}
        self.slow: set[str] = set()
        self.release = threading.Event()

    def look_up(self, host: str, family: Any) -> list[AddressInfo]:
        self.asked.append(host)
        if host in self.slow:
            self.release.wait(60)
        found = self.found.get(host, OSError(socket.EAI_AGAIN, "try again"))
        if isinstance(found, OSError):
            raise found
        return found


class World:
    """A resolver over those names, asked for one tenant after the other."""

    def __init__(self, per_tenant: int = 2) -> None:
        self.clock = FakeClock()
        self.names = Names()
        self.tenant = "acme"
        self.resolver = Resolver(self.clock, lambda: self.tenant, per_tenant, self.names.look_up)

    async def resolve(self, host: str) -> list[str]:
        async with asyncio.timeout(30):
            return [one["host"] for one in await self.resolver.resolve(host, 80)]

    async def settle(self) -> None:
        async with asyncio.timeout(30):
            while self.resolver.running.counts:
                await asyncio.sleep(0)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    world = World()
    yield world
    world.names.release.set()
    await world.settle()


async def start(world: World, *hosts: str) -> list[asyncio.Task[list[str]]]:
    """Begin to resolve names that are slow."""
    world.names.slow.update(hosts)
    tasks = [asyncio.create_task(world.resolve(host)) for host in hosts]
    async with asyncio.timeout(30):
        while not set(hosts) <= set(world.names.asked):
            await asyncio.sleep(0)
    return tasks


async def test_a_name_is_looked_up_once_for_all_who_ask_and_not_again_while_it_is_fresh(
    world: World,
) -> None:
    world.names.found["a.test"] = addresses("192.0.2.1", "192.0.2.2")
    (first,) = await start(world, "a.test")
    others = [asyncio.create_task(world.resolve("a.test")) for _ in range(5)]
    await asyncio.sleep(0)
    world.names.release.set()
    found = await asyncio.gather(first, *others)
    world.clock.advance(FRESH_SECONDS - 1)
    found.append(await world.resolve("a.test"))
    assert world.names.asked == ["a.test"]
    assert {tuple(sorted(one)) for one in found} == {("192.0.2.1", "192.0.2.2")}
    assert {one[0] for one in found} == {"192.0.2.1", "192.0.2.2"}, "they take turns"


async def test_slow_names_of_one_tenant_stop_no_others(world: World) -> None:
    world.names.found["good.test"] = addresses("192.0.2.1")
    slow = await start(world, "slow-1.test", "slow-2.test")
    third = asyncio.create_task(world.resolve("slow-3.test"))
    await asyncio.sleep(0)
    world.clock.advance(LOOKUP_SECONDS)
    with pytest.raises(OSError, match=r"slow-3\.test: too many names are being looked up"):
        await world.resolve("slow-3.test")
    assert world.resolver.running.refused == 1
    world.tenant = "other"
    assert await world.resolve("good.test") == ["192.0.2.1"]
    world.names.release.set()
    for task in (*slow, third):
        with pytest.raises(OSError, match="try again"):
            await task
    assert world.resolver.running.counts == {}


async def test_many_names_of_one_tenant_wait_for_one_another(world: World) -> None:
    hosts = [f"{number}.test" for number in range(20)]
    for number, host in enumerate(hosts):
        world.names.found[host] = addresses(f"192.0.2.{number}")
    found = await asyncio.gather(*(world.resolve(host) for host in hosts))
    assert found == [[f"192.0.2.{number}"] for number in range(20)]
    assert world.resolver.running.refused == 0


async def test_who_asks_for_a_name_that_hangs_is_told_at_once(world: World) -> None:
    (task,) = await start(world, "slow.test")
    world.clock.advance(LOOKUP_SECONDS)
    with pytest.raises(OSError, match=r"slow\.test: the lookup takes too long"):
        await world.resolve("slow.test")
    assert world.names.asked == ["slow.test"]
    task.cancel()


@pytest.mark.parametrize("is_slow", [False, True])
async def test_addresses_of_last_time_are_used_while_a_name_cannot_be_looked_up(
    world: World, is_slow: bool
) -> None:
    world.names.found["a.test"] = addresses("192.0.2.1")
    await world.resolve("a.test")
    if is_slow:
        world.names.slow.add("a.test")
    else:
        del world.names.found["a.test"]
    world.clock.advance(FRESH_SECONDS)
    assert await world.resolve("a.test") == ["192.0.2.1"]
    assert world.names.asked == ["a.test", "a.test"]


async def test_addresses_of_last_time_are_not_used_for_ever(world: World) -> None:
    world.names.found["a.test"] = addresses("192.0.2.1")
    await world.resolve("a.test")
    del world.names.found["a.test"]
    world.clock.advance(STALE_SECONDS)
    with pytest.raises(OSError, match="try again"):
        await world.resolve("a.test")


async def test_a_name_that_is_gone_is_gone(world: World) -> None:
    world.names.found["a.test"] = addresses("192.0.2.1")
    await world.resolve("a.test")
    world.names.found["a.test"] = OSError(socket.EAI_NONAME, "no such name")
    world.clock.advance(FRESH_SECONDS)
    with pytest.raises(OSError, match=r"a\.test: no such name"):
        await world.resolve("a.test")


async def test_a_name_that_failed_is_not_looked_up_for_each_request(world: World) -> None:
    for _ in range(3):
        with pytest.raises(OSError, match="try again"):
            await world.resolve("a.test")
    assert world.names.asked == ["a.test"]
    world.clock.advance(FAILED_SECONDS)
    world.names.found["a.test"] = addresses("192.0.2.1")
    assert await world.resolve("a.test") == ["192.0.2.1"]


async def test_who_stops_waiting_stops_no_lookup(world: World) -> None:
    world.names.found["a.test"] = addresses("192.0.2.1")
    (task,) = await start(world, "a.test")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    world.names.release.set()
    await world.settle()
    assert await world.resolve("a.test") == ["192.0.2.1"]
    assert world.names.asked == ["a.test"]


async def test_names_of_upstreams_need_no_thread_of_the_loop(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = asyncio.get_running_loop().getaddrinfo

    async def refuse(host: str, *values: Any, **named: Any) -> Any:
        # uvloop asks for addresses, too, which take no thread.
        assert host == "127.0.0.1", "the loop's own threads were asked"
        return await look_up(host, *values, **named)

    async with running() as api:
        await api.route(f"http://localhost:{upstream.port}")
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", refuse)
        assert (await exchange(api.gateway.port, CALL)).startswith(b"HTTP/1.1 200")
        await api.route("http://no-such-name.invalid")
        assert (await exchange(api.gateway.port, CALL)).startswith(b"HTTP/1.1 502")
