"""Many at once: nobody waits for want of a place that there is."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from stoa_proxy.engines.complete.upstream.pool import Pool
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.http.framing import Framing

from tests.proxy.conftest import Api, Upstream, running

SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


async def test_clients_that_come_at_once_are_all_heard() -> None:
    allowed = int(SOMAXCONN.read_text()) if SOMAXCONN.exists() else 128
    async with running() as api:
        callers = [socket.socket() for _ in range(min(300, allowed))]
        try:
            for one in callers:  # the loop has no turn here: nobody is accepted
                one.settimeout(0.5)
                one.connect(("127.0.0.1", api.gateway.port))
        finally:
            for one in callers:
                one.close()


async def test_one_slow_upstream_cannot_take_the_connections_of_others() -> None:
    pool = Pool(AddressGuard(), aiohttp.ThreadedResolver(), most=1)
    assert pool._connector.limit == pool._connector.limit_per_host == 0, "callers are the bound"
    await pool.retire()


async def test_what_one_client_sends_at_once_is_read_in_small_parts(
    api: Api, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    # Where each engine takes apart what a client sent.
    for name in ("feed", "read_head", "read_body"):
        read = getattr(Framing, name)

        def note(framing: Framing, data: bytes, read: Any = read) -> Any:
            sizes.append(len(data))
            return read(framing, data)

        monkeypatch.setattr(Framing, name, note)
    await api.route(upstream.url)
    body = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(head + body)
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert sum(sizes) >= len(head + body)
    assert max(sizes) <= 32 * 1024, "each part keeps all others waiting while it is taken apart"
    assert upstream.seen[0].body == b"x" * 100_000
    writer.close()
    await writer.wait_closed()
