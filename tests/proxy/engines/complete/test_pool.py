"""Kept connections to upstreams: which one is taken, when they end, what makes them unfit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from stoa_proxy.core.match import Target
from stoa_proxy.engines.complete.upstream.connection import UpstreamConnection
from stoa_proxy.engines.complete.upstream.http1 import send_request
from stoa_proxy.engines.complete.upstream.pool import Pool
from stoa_proxy.foundation.address_guard import AddressGuard, parse_networks

from tests.proxy.raw import Talk, read_head, serving

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_head(reader)
        writer.write(ANSWER)


@asynccontextmanager
async def pool_to(talk: Talk) -> AsyncIterator[tuple[Pool, Target]]:
    guard = AddressGuard(allow=parse_networks(["127.0.0.0/8"]))
    pool = Pool(guard, aiohttp.ThreadedResolver(), most=100)
    async with serving(talk) as url:
        try:
            yield pool, Target("http", "127.0.0.1", int(url.rpartition(":")[2]), None, "/", "")
        finally:
            await pool.retire()


async def use(pool: Pool, target: Target) -> UpstreamConnection:
    connection = await pool.connect(target, "acme", 5.0)
    response = await send_request(connection, "GET", target, (), None)
    assert await response.content.read() == b"ok"
    assert response.is_whole
    return connection


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


async def test_the_connection_that_was_used_last_is_taken_first() -> None:
    async with pool_to(answer) as (pool, target):
        first, second = await use(pool, target), await use(pool, target)
        assert not first.was_reused
        assert not second.was_reused
        pool.keep(first)
        pool.keep(second)
        taken = [await use(pool, target) for _ in range(3)]
        assert taken[:2] == [second, first]
        assert [one.was_reused for one in taken] == [True, True, False]
        for connection in taken:
            connection.close()


async def test_a_connection_that_was_idle_for_too_long_is_closed_and_not_used() -> None:
    async with pool_to(answer) as (pool, target):
        old, older = await use(pool, target), await use(pool, target)
        for connection in (older, old):
            pool.keep(connection)
            connection.idle_since -= 4.1
        fresh = await use(pool, target)
        assert fresh not in (old, older)
        await until(lambda: not old.protocol.is_connected() and not older.protocol.is_connected())
        pool.keep(fresh)
        fresh.idle_since -= 4.1
        pool._close_expired()
        await until(lambda: pool._opened.count == 0)
        assert not pool._kept


async def test_a_retired_pool_closes_idle_connections_while_others_are_at_work() -> None:
    async with pool_to(answer) as (pool, target):
        pool.join()
        idle, busy = await use(pool, target), await use(pool, target)
        pool.keep(idle)
        await pool.retire()
        assert not idle.protocol.is_connected()
        assert busy.protocol.is_connected()
        pool.keep(busy)
        assert not busy.protocol.is_connected()
        await pool.leave()


async def test_a_connection_on_which_nobody_asked_for_bytes_is_not_used_again() -> None:
    say = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(ANSWER)
        await say.wait()
        writer.write(ANSWER.replace(b"ok", b"no"))
        await answer(reader, writer)

    async with pool_to(talk) as (pool, target):
        first = await use(pool, target)
        pool.keep(first)
        say.set()
        await until(lambda: not first.is_usable)
        second = await use(pool, target)
        assert second is not first
        second.close()


async def test_a_connection_that_the_upstream_ends_is_not_kept() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await reader.read()

    async with pool_to(talk) as (pool, target):
        connection = await use(pool, target)
        pool.keep(connection)
        assert not connection.protocol.is_connected()
        assert not pool._kept
